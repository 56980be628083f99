"""Arrays or rows and translated texts in, a figure out. No streamlit, no torch: a chart can be tested and used anywhere."""

from altair.utils.schemapi import disable_debug_mode

disable_debug_mode()  # or Altair checks every axis and scale the moment it is made, half of a chart's time; tests check whole charts
