"""Curves of several runs over each other, one colour and dash per run."""

from collections.abc import Sequence

import streamlit as st

from dashboard.charts.curves import Curve, epoch_curves
from dashboard.charts.theme import network_styles
from dashboard.components.runs.words import display_names
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.runs import Run, read_epochs


def show_overlay(runs: Sequence[Run]) -> None:
    """Accuracy and loss per epoch, training thin and validation with points."""
    epochs = [read_epochs(store(), run.run) for run in runs]
    if not any(epochs):
        st.caption(t("runs.no_epochs"))
        return
    styles, names = network_styles([run.model_name for run in runs]), display_names(runs)
    for place, what in zip(st.columns(2), ("accuracy", "loss"), strict=True):
        train, valid = (
            [
                Curve(name=name, style=style, x=[row.epoch for row in rows], y=[getattr(row, f"{split}_{what}") for row in rows])
                for rows, name, style in zip(epochs, names, styles, strict=True)
            ]
            for split in ("train", "valid")
        )
        last = max(run.config.train.epochs for run in runs)
        chart = epoch_curves(
            train,
            valid,
            name=f"runs_{what}",
            x_title=t("axis.epoch"),
            y_title=t(f"axis.{what}"),
            percent=what == "accuracy",
            x_end=last,
            height=220,
        )
        alt = t("train.accuracy_alt" if what == "accuracy" else "train.loss_epoch_alt")
        with place:
            show_vega(chart, key=f"runs_{what}", alt=alt)
    st.caption(t("runs.curves_read"))
