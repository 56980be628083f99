"""Panels of the Sketch page."""
