"""Arrays or rows and translated texts in, a figure out. No streamlit, no torch: a chart can be tested and used anywhere."""
