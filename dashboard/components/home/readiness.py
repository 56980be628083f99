"""The first page's panels: this machine, what is trained and ready, where to go."""

import streamlit as st

from dashboard.components.formats import device_words, literal, percent
from dashboard.components.names import network_label
from dashboard.i18n import error_text, t
from dashboard.loading import open_checkpoint, store
from dashboard.navigation import SCREENS, link_to
from resnet_core.data import display_name
from resnet_core.errors import UserError
from resnet_core.runs import shipped_names
from resnet_core.training.device import device_memory, device_name, pick_device

GIGABYTE = 2**30
MOST_READY = 4  # of one's own
IN_A_ROW = 4  # cards: more would cut the pages' names
UNBROKEN_HYPHEN, UNBROKEN_SPACE = "\u2011", "\u00a0"  # a network and its number stay in one line


def show_machine() -> None:
    """On what a training would run here, and how much of its memory is taken."""
    device = pick_device("auto")
    used, total = device_memory(device)
    st.markdown(f"**{t('home.machine')}**")
    st.caption(
        f"{t('home.device')}: {device_words(device_name(device))}  \n{t('home.memory')}: {t('home.memory_value', used=used / GIGABYTE, total=total / GIGABYTE)}"
    )


def show_ready() -> None:
    """Shipped networks and finished runs with what they reached, and what trains now."""
    runs = store().runs()
    lines = [
        t("home.training_now", name=run.model_name, epoch=min(run.epoch + 1, run.config.train.epochs), epochs=run.config.train.epochs)
        for run in runs
        if run.is_active
    ]
    finished = [
        t("home.ready_row", name=literal(run.name), accuracy=percent(run.test_accuracy), dataset=literal(display_name(run.dataset)))
        for run in runs
        if run.test_accuracy is not None
    ]
    st.markdown(f"**{t('home.ready')}**")
    st.caption(t("home.ready_what"))
    lines += finished[:MOST_READY]
    if len(finished) > MOST_READY:
        lines.append(t("home.ready_more", count=len(finished) - MOST_READY))
    lines += _shipped_lines()
    if not lines:
        lines.append(t("home.ready_none"))
    st.markdown("\n".join(f"- {line}" for line in lines))


def _shipped_lines() -> list[str]:
    """One per data set, with all networks that were trained on it; one per file that cannot be opened."""
    by_dataset: dict[str, list[str]] = {}
    broken = []
    for name in shipped_names():
        try:
            checkpoint = open_checkpoint(name)
        except UserError as error:
            broken.append(f"{name}: {error_text(error)}")
            continue
        dataset = checkpoint.config.data.dataset.partition(":")[0]  # its files lay on another machine
        network = network_label(checkpoint.model_name).replace("-", UNBROKEN_HYPHEN)
        by_dataset.setdefault(dataset, []).append(f"{network}{UNBROKEN_SPACE}{percent(checkpoint.metrics.get('test_accuracy'))}")
    return [t("home.shipped_row", dataset=dataset, networks=", ".join(networks)) for dataset, networks in by_dataset.items()] + broken


def show_next_steps() -> None:
    """A card per page with what it is for."""
    others = [screen for screen in SCREENS.values() if screen.name != "home"]
    st.subheader(t("home.next_title"), anchor=False)
    for start in range(0, len(others), IN_A_ROW):
        for place, screen in zip(st.columns(IN_A_ROW), others[start : start + IN_A_ROW], strict=False):
            with place.container(border=True, height="stretch"):
                link_to(screen.name)
                st.caption(t(f"page.{screen.section}.lead"))
