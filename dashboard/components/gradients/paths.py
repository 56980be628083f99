"""A gradient as a sum over all paths through F or the shortcut, and what the paths of each length add to it."""

import dataclasses
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st
import torch
from torch import nn

from dashboard.charts.paths import PathBar, PathWords, path_figure
from dashboard.charts.theme import PLOTLY_CONFIG, network_style
from dashboard.components.background_job import Progress, Work, background_job, finished_job
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import duration
from dashboard.components.names import before_label, network_label
from dashboard.i18n import error_text, t
from dashboard.loading import block_names, file_state, has_blocks, has_shortcuts, images_for, labelled_images, settled_model
from dashboard.measuring import seconds_per_image
from resnet_core.data import normalize, some_images
from resnet_core.errors import UserError
from resnet_core.inspection import PathReport, measure_paths, path_passes, settle_norms
from resnet_core.inspection.paths import ENUMERATED, SHORT_PATHS_FROM
from resnet_core.models import build_model
from resnet_core.runs import Checkpoint

OWN, INITIAL, DEEP = "own", "initial", "deep"
DEEP_MODEL, DEEP_BLOCKS = "resnet56", 27
SMALL = 64  # pixels: a deep network for larger images takes minutes
COUNT, MOST = 16, 128
SAMPLES = (4, 8, 16, 32)
AT_ONCE = 6.0  # seconds: what takes less needs no button
PASS_COST = {True: 3.5, False: 1.2}  # of one F backwards in float64 and in float32, in forward passes of its block


@dataclass(frozen=True, kw_only=True)
class _Study:
    """Which network is measured, on how many images, with how many paths of each length."""

    which: str
    blocks: int
    count: int
    seed: int
    samples: int

    @property
    def is_complete(self) -> bool:
        return self.blocks <= ENUMERATED

    @property
    def passes(self) -> int:
        return path_passes(self.blocks, samples=self.samples, seed=self.seed)


def paths_view(checkpoint: Checkpoint) -> None:
    """Settings, cost, the three pictures, and what they say of this network. A network with one path only says so."""
    if not has_shortcuts(checkpoint):
        code = "no_shortcuts" if has_blocks(checkpoint) else "no_blocks"
        st.info(error_text(UserError(code, name=network_label(checkpoint.model_name))), icon=":material/timeline:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        study = _study_picker(checkpoint)
        download = st.empty()
    report = _measured(checkpoint, study)
    if report is None:
        return
    with download:
        csv_button(
            lambda: pd.DataFrame([asdict(line) for line in report.lengths]).to_csv(index=False).encode(),
            f"{checkpoint.name}-paths-{study.which}.csv",
            help=t("paths.download"),
            key="paths_csv",
        )
    _show(report, _model_name(checkpoint, study.which))


# -- settings ---------------------------------------------------------------------------------------------------------------------


def _study_picker(checkpoint: Checkpoint) -> _Study:
    own = len(block_names(checkpoint))
    networks = [OWN, *([] if checkpoint.is_first else [INITIAL])]
    if own < SHORT_PATHS_FROM and max(checkpoint.spec.height, checkpoint.spec.width) <= SMALL:
        networks.append(DEEP)
    if st.session_state.get("paths_network") not in networks:
        st.session_state["paths_network"] = networks[0]
    labels = {
        OWN: network_label(checkpoint.model_name),
        INITIAL: before_label(checkpoint),
        DEEP: t("paths.deep", network=network_label(DEEP_MODEL)),
    }
    which = st.segmented_control(t("paths.network"), networks, format_func=labels.__getitem__, required=True, key="paths_network")
    blocks = DEEP_BLOCKS if which == DEEP else own
    with st.popover(t("blocks.sample"), icon=":material/tune:"):
        count = int(st.number_input(t("blocks.count", most=MOST), 1, MOST, COUNT, step=8, key="paths_count"))
        seed = int(st.number_input(t("blocks.seed"), 0, 2**31 - 1, 0, key="paths_seed", help=t("paths.seed_help")))
        samples = SAMPLES[0]
        if blocks > ENUMERATED:
            samples = st.segmented_control(
                t("paths.samples"), SAMPLES, default=SAMPLES[1], required=True, key="paths_samples", help=t("paths.samples_help")
            )
        study = _Study(which=which, blocks=blocks, count=count, seed=seed, samples=samples)
        st.caption(t("paths.cost", passes=f"{study.passes:,}", time=duration(max(1, _seconds(checkpoint, study)))))
    return study


def _model_name(checkpoint: Checkpoint, which: str) -> str:
    return DEEP_MODEL if which == DEEP else checkpoint.model_name


# -- measuring --------------------------------------------------------------------------------------------------------------------


def _seconds(checkpoint: Checkpoint, study: _Study) -> float:
    forward = study.count * seconds_per_image(checkpoint) / len(block_names(checkpoint))
    return study.passes * forward * PASS_COST[study.is_complete]


def _measured(checkpoint: Checkpoint, study: _Study) -> PathReport | None:
    """What was measured before, what is cheap at once, the rest in a thread after a click."""
    identity = ("paths", file_state(checkpoint), study)
    seconds = _seconds(checkpoint, study)
    if seconds <= AT_ONCE and finished_job(*identity) is None:
        with st.spinner(t("paths.measuring", passes=f"{study.passes:,}")):
            return _at_once(file_state(checkpoint), study, checkpoint)
    return background_job(
        *identity,
        prepare=lambda: _work(checkpoint, study),
        label=t("paths.start", network=network_label(_model_name(checkpoint, study.which))),
        seconds=seconds,
        key="paths_start",
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _at_once(state: tuple[str, float], study: _Study, _checkpoint: Checkpoint) -> PathReport:
    return _work(_checkpoint, study)(lambda done, total: None)


def _work(checkpoint: Checkpoint, study: _Study) -> Work:
    inputs, labels = _batch(checkpoint, study)
    model = _network(checkpoint, study.which, inputs)

    def work(progress: Progress) -> PathReport:
        return measure_paths(model, inputs, labels, samples=study.samples, seed=study.seed, progress=progress)

    return work


def _batch(checkpoint: Checkpoint, study: _Study) -> tuple[torch.Tensor, torch.Tensor]:
    _, images = labelled_images(checkpoint, images_for(checkpoint), "test")
    chosen = images.take(some_images(len(images), study.count, study.seed))
    return normalize(chosen.images, checkpoint.spec), chosen.labels


def _network(checkpoint: Checkpoint, which: str, inputs: torch.Tensor) -> nn.Module:
    """The checkpoint, the same network before its first step, or a deep one with the same settings and seed that never learned."""
    if which == DEEP:
        config = dataclasses.replace(checkpoint.config.model, model=DEEP_MODEL, removed_blocks=())
        return settle_norms(build_model(config, checkpoint.spec, seed=checkpoint.config.train.seed), inputs)
    return settled_model(checkpoint, inputs, initial=which == INITIAL)


# -- showing ----------------------------------------------------------------------------------------------------------------------


def _show(report: PathReport, model_name: str) -> None:
    bars = [
        PathBar(length=line.length, paths=line.paths, norm=line.norm, spread=line.spread, share=line.share, part=line.part)
        for line in report.lengths
    ]
    words = PathWords(
        count=t("paths.count_title"),
        norm=t("paths.norm_title"),
        part=t("paths.part_title"),
        length=t("paths.length_axis"),
        exact=t("paths.exact"),
        estimate=t("paths.estimate"),
    )
    label = network_label(model_name)
    with st.container(key="paths_figure"):
        st.plotly_chart(
            path_figure(bars, style=network_style(model_name), words=words),
            config={**PLOTLY_CONFIG, "modeBarButtons": [["toImage"]]},
            key="paths_chart",
            alt=t("paths.alt", network=label),
        )
    st.markdown(
        t(
            "paths.says",
            network=label,
            blocks=report.blocks,
            half=f"{report.blocks / 2:.1f}",
            mean=f"{report.mean_length:.1f}",
            factor=f"{report.factor:.2f}",
        )
    )
    if report.blocks < SHORT_PATHS_FROM:
        st.caption(t("paths.few", blocks=report.blocks, needed=SHORT_PATHS_FROM), width="stretch")
    paths, most = _power_of_two(report.blocks), max(line.followed for line in report.lengths)
    followed = t("paths.check_all", paths=f"{report.paths:,}") if report.complete else t("paths.check_sums", paths=paths, samples=most)
    st.caption(f"{t('paths.read', count=report.images)} {followed} {t('paths.error', error=f'{report.error:.1e}')}")


def _power_of_two(exponent: int) -> str:
    """`2²⁷`."""
    return "2" + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
