"""Choose data, networks and a recipe; start; watch every step."""

import streamlit as st

from dashboard.bootstrap import bootstrap
from dashboard.components.training.form import show_time, training_form
from dashboard.components.training.start import prepare, start_button
from dashboard.components.training.view import training_view

bootstrap("train")
form, live = st.columns([1, 2.5], gap="medium")
with form:
    place = st.container()
    with st.container():
        wish = training_form()
    with place:
        start_button(wish)
with live:
    training_view()
prepare(wish)
show_time(wish)
