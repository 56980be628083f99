"""How the shipped networks were trained, from the history in their own files: something real to see before anything was trained here."""

from itertools import islice

import streamlit as st

from dashboard.charts.curves import Curve, epoch_curves, loss_curves
from dashboard.charts.theme import network_styles
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import open_checkpoint
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint, shipped_names
from resnet_core.runs.opening import has_twin

MOST = 4  # networks in one picture


def show_shipped_curves() -> None:
    """Loss per step and error per epoch; nothing where no shipped file holds a history.

    The error on a logarithmic scale: of networks that all end above 99% the accuracies would be one flat line.
    """
    names = shipped_names()
    checkpoints = list(islice((found for name in names if has_twin(name, names) and (found := _with_history(name))), MOST))
    if not checkpoints:
        return
    st.markdown(t("train.shipped_title", names=", ".join(checkpoint.name for checkpoint in checkpoints)))
    styles = network_styles([checkpoint.model_name for checkpoint in checkpoints])
    pairs = list(zip(checkpoints, styles, strict=True))
    steps = [
        Curve(name=c.name, style=style, x=c.metrics["history"]["steps"]["step"], y=c.metrics["history"]["steps"]["loss"])
        for c, style in pairs
    ]
    train, valid = (
        [
            Curve(
                name=c.name,
                style=style,
                x=[row["epoch"] for row in c.metrics["history"]["epochs"]],
                y=[1 - row[f"{split}_accuracy"] for row in c.metrics["history"]["epochs"]],
            )
            for c, style in pairs
        ]
        for split in ("train", "valid")
    )
    chart = loss_curves(steps, x_title=t("axis.step"), y_title=t("axis.train_loss"), height=300, log=True)
    show_vega(chart, key="shipped_loss", alt=t("train.loss_alt"))
    chart = epoch_curves(train, valid, name="shipped", x_title=t("axis.epoch"), y_title=t("axis.error"), percent=True, log=True, height=300)
    show_vega(chart, key="shipped_error", alt=t("train.error_alt"))
    st.caption(t("train.shipped_read"))


def _with_history(name: str) -> Checkpoint | None:
    try:
        checkpoint = open_checkpoint(name)
    except UserError:  # Runs says what is wrong with it
        return None
    return checkpoint if checkpoint.metrics.get("history") else None
