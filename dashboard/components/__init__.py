"""Pieces that several pages show: a function asks for something and returns it, or shows it."""
