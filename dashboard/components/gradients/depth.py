"""Before any training: what depth alone does to the gradient, with and without shortcuts."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace

import pandas as pd
import streamlit as st

from dashboard.charts.gradient_depth import Band, depth_norms_chart, ratio_chart
from dashboard.charts.theme import network_style
from dashboard.components.background_job import Progress, Work, background_job, finished_job
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import duration
from dashboard.components.gradients.words import evidence, threshold_text, verdict_badge
from dashboard.components.names import network_label
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import leave_cores_to_trainings, split_images
from resnet_core.config import ModelConfig
from resnet_core.data import DataSpec, Split
from resnet_core.inspection import UntrainedGradients, depths_up_to, networks_of_study, noise_like, untrained_gradients
from resnet_core.inspection.trend import EXTREME, LEANING
from resnet_core.inspection.untrained import DEPTHS, FAMILIES, SEEDS
from resnet_core.models import get_entry

DATASET = "mnist-mini"
DEPTH, COUNT = 20, 16
TRIED = 8  # images of the trial that says what a study will cost
AT_ONCE = 0.5  # seconds: a study that takes less needs no button, a longer one would hold up the page
MOST_KNOWN = 2000  # networks; each is a few numbers per block
WIDTHS = (0.25, 0.5, 1.0)
SCALES = (0.03, 0.1, 0.3, 1.0, 2.0)
SETTINGS = {"norm": ("batch", "group", "none"), "init": ("he", "dirac"), "option": ("A", "B", "C"), "version": ("v1", "v2")}
SOURCES = ("images", "noise")

Known = dict[tuple[ModelConfig, int], UntrainedGradients]


def depth_view() -> None:
    """Settings, cost, and both pictures; needs no checkpoint and no download."""
    st.subheader(t("gradients.depth_title"), anchor=False)
    controls, pictures = st.columns([1, 3.2], gap="medium")
    with controls:
        config, depth, source = _settings()
    with pictures:
        found = _studied(config, depth, source)
        if found is not None:
            _show(found, depth)


def _settings() -> tuple[ModelConfig, int, str]:
    depth = st.select_slider(t("gradients.depth"), DEPTHS, value=DEPTH, key="depth_slider", help=t("gradients.depth_help"))
    chosen = {}
    with st.container(horizontal=True, gap="small"):
        for name, options in SETTINGS.items():
            chosen[name] = st.segmented_control(
                t(f"setting.{name}.label"),
                options,
                default=options[0],
                required=True,
                wrap=True,
                key=f"depth_{name}",
                help=t(f"setting.{name}.help"),
            )
    with st.container(horizontal=True, gap="small"):
        source = st.segmented_control(
            t("gradients.source"),
            SOURCES,
            format_func=lambda option: t(f"gradients.source_{option}"),
            default=SOURCES[0],
            required=True,
            wrap=True,
            key="depth_source",
            help=t("gradients.source_help", count=COUNT),
        )
        width = _factor("width", WIDTHS)
    scale = _factor("residual_scale", SCALES)
    return ModelConfig(**chosen, width=width, residual_scale=scale), int(depth), source


def _factor(name: str, options: Sequence[float]) -> float:
    return st.segmented_control(
        t(f"setting.{name}.label"),
        options,
        format_func=lambda option: f"{option:g}",
        default=1.0,
        required=True,
        wrap=True,
        key=f"depth_{name}",
        help=t(f"setting.{name}.help"),
    )


# -- measuring --------------------------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=4, show_spinner=False)
def _known(source: str) -> Known:
    """What was measured already, by any session."""
    return {}


@st.cache_resource(max_entries=4, show_spinner=False)
def _images(source: str) -> tuple[DataSpec, Split]:
    spec, split = split_images(DATASET, "train")
    return spec, noise_like(split, spec) if source == "noise" else split


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds_per_layer(config: ModelConfig) -> float:
    """What one layer of one network costs here, from a trial with the smallest."""
    leave_cores_to_trainings()
    spec, split = _images("images")
    small = replace(config, model=f"plain{DEPTHS[0]}")
    untrained_gradients(small, spec, split, count=1)  # the first pass also allocates
    start = time.perf_counter()
    untrained_gradients(small, spec, split, count=TRIED)
    return (time.perf_counter() - start) / DEPTHS[0] * COUNT / TRIED


def _studied(config: ModelConfig, depth: int, source: str) -> list[UntrainedGradients] | None:
    """Every network of the study: known ones at once, cheap ones at once too, the others in a thread after a click."""
    networks = networks_of_study(config, depths=depths_up_to(depth))
    missing = [network for network in networks if network not in _known(source)]
    seconds = sum(get_entry(one.model).depth for one, _ in missing) * _seconds_per_layer(config) if missing else 0.0
    if seconds <= AT_ONCE or not missing:
        with st.spinner(t("gradients.depth_measuring", count=len(missing))):
            return _work(networks, source)(lambda done, total: None)
    if finished_job(config, depth, source) is None:
        st.caption(t("gradients.depth_cost", count=len(missing), time=duration(max(1, seconds))))
    return background_job(
        config,
        depth,
        source,
        prepare=lambda: _work(networks, source),
        label=t("gradients.depth_job", depth=depth),
        seconds=seconds,
        key="depth_start",
    )


def _work(networks: Sequence[tuple[ModelConfig, int]], source: str) -> Work:
    known, (spec, split) = _known(source), _images(source)
    if len(known) > MOST_KNOWN:
        known.clear()

    def work(progress: Progress) -> list[UntrainedGradients]:
        found = []
        for done, (config, seed) in enumerate(networks):
            progress(done, len(networks))
            one = known.get((config, seed)) or untrained_gradients(config, spec, split, count=COUNT, seed=seed)
            known[config, seed] = one
            found.append(one)
        return found

    return work


# -- showing ----------------------------------------------------------------------------------------------------------------------


def _show(found: Sequence[UntrainedGradients], depth: int) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        chart = ratio_chart(
            _ratio_bands(found),
            x_title=t("gradients.depth_axis"),
            y_title=t("gradients.ratio_axis"),
            limits=[sign * limit for limit in (LEANING, EXTREME) for sign in (-1, 1)],
            height=270,
        )
        show_vega(chart, key="depth_ratio_chart", alt=t("gradients.ratio_alt"))
    with right:
        norms = depth_norms_chart(
            _norm_bands(found, depth), x_title=t("gradients.block_number_axis"), y_title=t("gradients.input_axis"), height=270
        )
        show_vega(norms, key="depth_norms_chart", alt=t("gradients.depth_norms_alt", depth=depth))
    for place, family in zip(st.columns(len(FAMILIES), gap="medium"), FAMILIES, strict=True):
        with place, st.container(border=True, gap="xsmall"):
            _words(family, depth, [one for one in found if (one.family, one.depth) == (family, depth)])
    with st.container(horizontal=True, wrap=False, gap="small"):
        csv_button(lambda: _csv(found), f"untrained-gradients-{depth}.csv", help=t("gradients.download_depth"), key="depth_csv")
        st.caption(t("gradients.depth_read", seeds=len(SEEDS), count=COUNT))


def _ratio_bands(found: Sequence[UntrainedGradients]) -> list[Band]:
    bands = []
    for family in FAMILIES:
        points: dict[float, list[float]] = defaultdict(list)
        for one in found:
            if one.family == family and one.trend.log_ratio is not None:
                points[one.depth].append(one.trend.log_ratio)
        bands.append(Band(name=_family_word(family), style=network_style(family), points=points))
    return bands


def _norm_bands(found: Sequence[UntrainedGradients], depth: int) -> list[Band]:
    bands = []
    for family in FAMILIES:
        of_depth = [one.block_norms for one in found if (one.family, one.depth) == (family, depth)]
        points = {float(number): values for number, values in enumerate(zip(*of_depth, strict=True), start=1)}
        bands.append(Band(name=network_label(f"{family}{depth}"), style=network_style(family), points=points))
    return bands


def _family_word(family: str) -> str:
    return "ResNet" if family == "resnet" else "plain"


def _words(family: str, depth: int, seeds: Sequence[UntrainedGradients]) -> None:
    """The verdict of the middle seed; where seeds disagree, that is said."""
    middle = sorted(seeds, key=lambda one: one.trend.log_ratio if one.trend.log_ratio is not None else float("-inf"))[len(seeds) // 2]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(f"**{network_label(f'{family}{depth}')}**", width="content", help=threshold_text())
        verdict_badge(middle.trend)
    st.markdown(evidence(middle.trend, middle.weights_log_ratio))
    verdicts = {one.trend.verdict for one in seeds}
    if len(verdicts) > 1:
        st.caption(t("gradients.seeds_disagree"))
    st.caption(t(f"gradients.means_{middle.trend.verdict}"))


def _csv(found: Sequence[UntrainedGradients]) -> bytes:
    """One line per network, seed and block."""
    rows = [
        {
            "network": f"{one.family}{one.depth}",
            "seed": one.seed,
            "loss": one.loss,
            **asdict(one.trend),
            "weights_log_ratio": one.weights_log_ratio,
            "block": number,
            "input_grad_norm": norm,
        }
        for one in found
        for number, norm in enumerate(one.block_norms, start=1)
    ]
    return pd.DataFrame(rows).to_csv(index=False).encode()
