"""A residual block at work, what is trained and ready, and where to go next."""

import streamlit as st

from dashboard.bootstrap import bootstrap, guarded
from dashboard.components.home.degradation import show_degradation
from dashboard.components.home.live_block import live_block
from dashboard.components.home.readiness import show_machine, show_next_steps, show_ready

bootstrap("home")
block, machine = st.columns([3, 1], gap="medium")
with block, guarded():
    live_block()
with machine:
    show_machine()
    show_ready()
show_next_steps()
show_degradation()
