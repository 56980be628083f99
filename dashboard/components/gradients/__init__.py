"""Panels of the Gradients page."""
