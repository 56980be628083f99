"""How both networks learned, over each other: by epoch and by wall time; and what their trainings share."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import streamlit as st

from dashboard.charts.curves import Curve, epoch_curves
from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.data import Answered
from dashboard.components.compare.numbers import condition_lines
from dashboard.components.compare.pair import Pair
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.runs import Checkpoint, read_epochs, run_of

SECONDS_OF = {"epoch": 1.0, "minutes": 60.0}


@dataclass(frozen=True, kw_only=True)
class _Epochs:
    """What a training measured at the end of each epoch, and the seconds until then."""

    rows: tuple[Any, ...]
    seconds: tuple[float, ...]


def curves_view(pair: Pair, answered: Answered, shown: Shown) -> None:
    by = st.segmented_control(
        t("compare.by"),
        ("epoch", "minutes"),
        format_func=lambda option: t(f"compare.by_{option}"),
        default="epoch",
        required=True,
        key="compare_by",
        persist_state="session",
    )
    histories = [_history(checkpoint) for checkpoint in pair.checkpoints]
    missing = [label for label, history in zip(pair.labels, histories, strict=True) if not history.rows]
    if missing:
        st.info(t("compare.no_history", networks=", ".join(missing)), icon=":material/info:")
    if len(missing) < len(histories):
        _charts(pair, histories, by)
        st.caption(t(f"compare.curves_read_{by}"))
    st.markdown("\n".join(f"- {line}" for line in condition_lines(pair)))


def _charts(pair: Pair, histories: list[_Epochs], by: str) -> None:
    places: Callable[[_Epochs], list[float]] = lambda history: (  # noqa: E731
        [row["epoch"] for row in history.rows] if by == "epoch" else [seconds / 60 for seconds in history.seconds]
    )
    for column, what in zip(st.columns(2, gap="medium"), ("accuracy", "loss"), strict=True):
        train, valid = (
            [
                Curve(name=label, style=style, x=places(history), y=[row[f"{split}_{what}"] for row in history.rows])
                for label, style, history in zip(pair.labels, pair.styles, histories, strict=True)
            ]
            for split in ("train", "valid")
        )
        chart = epoch_curves(
            train,
            valid,
            name=f"compare_{what}_{by}",
            x_title=t("axis.epoch") if by == "epoch" else t("compare.minutes_axis"),
            y_title=t(f"axis.{what}"),
            percent=what == "accuracy",
            x_end=max(row["epoch"] for history in histories for row in history.rows) if by == "epoch" else None,
            height=240,
        )
        with column:
            show_vega(chart, key=f"compare_{what}", alt=t("train.accuracy_alt" if what == "accuracy" else "train.loss_epoch_alt"))


def _history(checkpoint: Checkpoint) -> _Epochs:
    """From the file of a shipped network, else from the store."""
    run = run_of(checkpoint.name)
    if history := checkpoint.metrics.get("history"):
        rows = tuple(history["epochs"])
    elif store().exists(run):
        rows = tuple(vars(row) for row in read_epochs(store(), run))
    else:
        rows = ()
    return _Epochs(rows=rows, seconds=tuple(accumulate(row["seconds"] for row in rows)))
