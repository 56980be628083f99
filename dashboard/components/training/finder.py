"""Find a learning rate before the start: a sweep in a process of its own, its curve, and the way into the form."""

import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.charts.finder import finder_curve
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.formats import number
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import store
from resnet_core.config import RunConfig, TrainConfig
from resnet_core.data import data_root
from resnet_core.errors import UserError
from resnet_core.recipes import recipe_text
from resnet_core.runs.estimates import expected_speed
from resnet_core.runs.process import PROJECT
from resnet_core.training import pick_device
from resnet_core.training.finder import STEPS

STARTING = 10  # seconds until a process has read torch and the data
UNKNOWN_SPEED = 300.0  # images/s, where no run of this network tells
LOOK_SECONDS = 0.2  # between two looks whether the sweep is still wanted
NICE = "2"  # somebody waits for it; pages stay quick all the same


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What the process told: one point per step, and the rate it suggests, if any."""

    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None


def rate_finder(config: RunConfig) -> None:
    """For the first network of the form, with all its settings but the learning rate itself."""
    place = st.expander(t("finder.title"), icon=":material/query_stats:", key="train_finder", on_change="rerun")
    if not place.open:
        return
    with place:
        st.caption(t("finder.lead", name=config.model.model, steps=STEPS))
        wish = replace(config, train=replace(config.train, learning_rate=TrainConfig().learning_rate))
        speed = expected_speed(config, pick_device(config.train.device).type, store().runs()) or UNKNOWN_SPEED
        found: Sweep | None = background_job(
            "find-lr",
            wish.to_json(),
            prepare=lambda: _work(wish),
            label=t("finder.start"),
            seconds=STARTING + STEPS * config.train.batch_size / speed,
            key="train_find_lr",
        )
        if found is not None:
            _show(found)


def _show(found: Sweep) -> None:
    chart = finder_curve(
        found.learning_rates, found.losses, found.smoothed, found.suggestion, x_title=t("axis.learning_rate"), y_title=t("axis.train_loss")
    )
    show_vega(chart, key="train_finder_curve", alt=t("finder.alt"))
    if found.suggestion is None:
        st.caption(t("finder.none"))
        return
    rate = float(f"{found.suggestion:.2g}")
    st.caption(t("finder.read", rate=number(rate, 2)))
    st.button(
        t("finder.use", rate=number(rate, 2)), icon=":material/check:", key="train_use_rate", on_click=_use, args=(rate,), width="stretch"
    )


def _use(rate: float) -> None:
    st.session_state["train_learning_rate"] = rate


def _work(config: RunConfig) -> Work:
    environment = {**os.environ, "RESNET_RUNS": str(store().root), "RESNET_DATA": str(data_root().absolute()), "RESNET_NICE": NICE}

    def work(progress: Progress) -> Sweep:
        with tempfile.TemporaryDirectory() as folder:
            recipe = Path(folder) / "sweep.toml"
            recipe.write_text(recipe_text(config), encoding="utf-8")
            command = [sys.executable, "-m", "resnet_core", "find-lr", "--recipe", str(recipe), "--events"]
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=PROJECT, env=environment, start_new_session=True
            ) as process:
                try:
                    return _heard(process, progress)
                finally:
                    process.terminate()

    return work


def _heard(process: "subprocess.Popen[bytes]", progress: Progress) -> Sweep:
    """All that the process says, with a look at every moment whether anybody still wants it; raises the UserError that it ended with."""
    assert process.stdout is not None
    steps: list[dict[str, Any]] = []
    while True:
        progress(len(steps), STEPS)
        if not select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
            continue
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"find-lr ended with {process.wait()} before it found anything")
        event = json.loads(line)
        if event["event"] == "step":
            steps.append(event)
        elif event["event"] == "error":
            raise UserError(event["code"], **event["values"])
        else:
            return Sweep(
                learning_rates=tuple(step["learning_rate"] for step in steps),
                losses=tuple(step["loss"] for step in steps),
                smoothed=tuple(step["smoothed"] for step in steps),
                suggestion=event["suggestion"],
            )
