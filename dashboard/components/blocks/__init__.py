"""Panels of the Residual blocks page."""
