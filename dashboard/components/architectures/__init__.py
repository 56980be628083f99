"""The Architectures page: networks as drawings, tables and charts, and what a change to them costs."""
