"""The first page's panels: this machine, what is trained and ready, where to go."""

import streamlit as st

from dashboard.i18n import t
from dashboard.navigation import SCREENS, link_to
from resnet_core.training.device import device_memory, device_name, pick_device

GIGABYTE = 2**30


def show_machine() -> None:
    """On what a training would run here, and how much of its memory is taken."""
    device = pick_device("auto")
    used, total = device_memory(device)
    with st.container(horizontal=True):
        st.metric(t("home.device"), device_name(device), border=True)
        st.metric(t("home.memory"), t("home.memory_value", used=used / GIGABYTE, total=total / GIGABYTE), border=True)


def show_next_steps() -> None:
    """A card per page with what it is for."""
    others = [screen for screen in SCREENS.values() if screen.name != "home"]
    if not others:
        return
    st.subheader(t("home.next_title"), anchor=False)
    for place, screen in zip(st.columns(len(others)), others, strict=True):
        with place.container(border=True, height="stretch"):
            link_to(screen.name)
            st.caption(t(f"page.{screen.section}.lead"))
