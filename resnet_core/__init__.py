"""Residual networks one can train, open and measure; usable without the dashboard."""

__version__ = "0.1.0"
