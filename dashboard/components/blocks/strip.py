"""All blocks of a network beside each other, measured over many images, with the same network before training behind them.

Beside them, where asked for, its twin on the same images; the std of F also as gamma and beta of the last norm give it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from dashboard.charts.strip import StripBlock, StripRow, block_strip
from dashboard.charts.theme import PLOTLY_CONFIG, network_style
from dashboard.components.block_picker import select_clicked_block
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import duration
from dashboard.components.image_picker import SPLITS
from dashboard.components.names import before_label, block_label, network_label
from dashboard.i18n import t
from dashboard.loading import checkpoint_images, file_state, find_twin, has_shortcuts, own_model
from dashboard.measuring import seconds_per_image, statistics_of
from resnet_core.data import splits_of
from resnet_core.inspection import BlockStatistics, formula_stds, inverse_root_line
from resnet_core.runs import Checkpoint

COUNT = 64
MOST = 10_000
CHART = "block_strip_chart"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A row that the strip can show: its title and what of BlockStatistics it is. `needs_shortcut`: a plain network has none."""

    title: str
    help: str
    needs_shortcut: bool = False
    spread: str | None = None
    digits: str = ".2f"
    bounds: tuple[float, float] | None = None


MEASURES = {
    "ratio": Measure(title="blocks.ratio", help="blocks.ratio_help", needs_shortcut=True, spread="ratio_spread"),
    "cosine": Measure(title="blocks.cosine", help="blocks.cosine_help", needs_shortcut=True, spread="cosine_spread"),
    "residual_std": Measure(title="blocks.residual_std", help="blocks.residual_std_help"),
    "residual_norm": Measure(title="blocks.residual_norm", help="blocks.residual_norm_help", spread="residual_norm_spread", digits=".3g"),
    "output_norm": Measure(title="blocks.output_norm", help="blocks.output_norm_help", spread="output_norm_spread", digits=".3g"),
    "dead_share": Measure(title="blocks.dead_share", help="blocks.dead_share_help", digits=".0%", bounds=(0, 1)),
}
WITH_SHORTCUT, WITHOUT = ["ratio", "cosine"], ["residual_std", "dead_share"]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    split: str
    count: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """All that the strip can show of one network; `twin` is empty where none is asked for."""

    trained: tuple[BlockStatistics, ...]
    initial: tuple[BlockStatistics, ...]
    formula: tuple[float | None, ...]
    twin: tuple[BlockStatistics, ...] = ()


def strip_view(checkpoint: Checkpoint, dataset: str, block: str) -> None:
    """The strip with its settings; a click on a column chooses the block. Nothing for a network without blocks."""
    shortcuts = has_shortcuts(checkpoint)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        shown = _measure_picker(shortcuts)
        with st.popover(t("blocks.sample"), icon=":material/tune:"):
            sample = _sample_picker(checkpoint, dataset)
        twin = _twin_toggle(checkpoint)
        download = st.empty()
    with st.spinner(t("blocks.measuring", count=sample.count)):
        measured = _Measured(
            trained=_statistics(checkpoint, dataset, sample),
            initial=_statistics(checkpoint, dataset, sample, initial=True),
            formula=_formula(file_state(checkpoint), checkpoint),
            twin=_statistics(twin, dataset, sample, beside=checkpoint) if twin is not None else (),
        )
    with download:
        csv_button(lambda: _csv(measured), f"{checkpoint.name}-blocks.csv", help=t("blocks.download_strip"), key="block_strip_csv")
    figure = block_strip(
        [
            StripBlock(name=b.name, stage=b.stage, label=block_label(b.name), stage_label=t("blocks.stage", stage=b.stage))
            for b in measured.trained
        ],
        [_row(name, measured) for name in shown],
        style=network_style(checkpoint.model_name),
        value_label=t("blocks.trained", network=network_label(checkpoint.model_name)),
        reference_label=before_label(checkpoint),
        guide_label=t("blocks.guide"),
        formula_label=t("blocks.formula"),
        twin_label=network_label(twin.model_name) if twin is not None else "",
        twin_style=network_style(twin.model_name) if twin is not None else None,
        x_title=t("blocks.block_axis"),
        selected=block,
    )
    with st.container(key="block_strip"):
        st.plotly_chart(
            figure,
            config={**PLOTLY_CONFIG, "modeBarButtons": [["toImage"]]},
            key=CHART,
            on_select=lambda: select_clicked_block(CHART),
            selection_mode="points",
            alt=t("blocks.strip_alt", network=network_label(checkpoint.model_name), before=before_label(checkpoint)),
        )
    st.caption(_sentence(checkpoint, shown, sample, twin))


def _twin_toggle(checkpoint: Checkpoint) -> Checkpoint | None:
    """The twin where there is one and it is asked for."""
    twin = find_twin(checkpoint)
    if twin is None:
        return None
    asked = st.toggle(
        t("blocks.twin", network=network_label(twin.model_name)), key="strip_twin", help=t("blocks.twin_help", name=twin.name)
    )
    return twin if asked else None


@st.cache_data(max_entries=64, show_spinner=False)
def _formula(state: tuple[str, float], _checkpoint: Checkpoint) -> tuple[float | None, ...]:
    return tuple(formula_stds(own_model(_checkpoint)).values())


def _statistics(
    checkpoint: Checkpoint, dataset: str, sample: _Sample, *, initial: bool = False, beside: Checkpoint | None = None
) -> tuple[BlockStatistics, ...]:
    return statistics_of(checkpoint, dataset, sample.split, count=sample.count, seed=sample.seed, initial=initial, beside=beside)


def _measure_picker(shortcuts: bool) -> list[str]:
    """What to show, in the order of the table; at least one row."""
    options = [name for name, measure in MEASURES.items() if shortcuts or not measure.needs_shortcut]
    key = "strip_measures" if shortcuts else "strip_measures_plain"
    chosen = st.pills(
        t("blocks.measures"),
        options,
        selection_mode="multi",
        default=WITH_SHORTCUT if shortcuts else WITHOUT,
        format_func=lambda option: t(MEASURES[option].title),
        key=key,
        help="\n".join(f"- **{t(MEASURES[name].title)}**: {t(MEASURES[name].help)}" for name in options),
    )
    return [name for name in options if name in chosen] or options[:1]


def _sample_picker(checkpoint: Checkpoint, dataset: str) -> _Sample:
    splits = [split for split in SPLITS if split in splits_of(dataset)]
    split = st.segmented_control(
        t("pick.split"), splits, format_func=lambda option: t(SPLITS[option]), default="test", required=True, key="strip_split"
    )
    _, images = checkpoint_images(checkpoint, dataset, split)
    most = min(len(images), MOST)
    count = st.number_input(t("blocks.count", most=most), 1, most, min(COUNT, most), step=64, key="strip_count")
    seed = st.number_input(t("blocks.seed"), 0, 2**31 - 1, 0, key="strip_seed", help=t("blocks.seed_help"))
    st.caption(t("blocks.cost", time=duration(max(1, 2 * count * seconds_per_image(checkpoint)))))
    return _Sample(split=split, count=int(count), seed=int(seed))


def _row(name: str, measured: _Measured) -> StripRow:
    measure = MEASURES[name]
    return StripRow(
        title=t(measure.title),
        values=[getattr(block, name) for block in measured.trained],
        spread=[getattr(block, measure.spread) for block in measured.trained] if measure.spread else None,
        reference=[getattr(block, name) for block in measured.initial],
        guide=inverse_root_line(measured.initial) if name == "ratio" else None,
        formula=measured.formula if name == "residual_std" else None,
        twin=[getattr(block, name) for block in measured.twin] if measured.twin else None,
        range=measure.bounds,
        digits=measure.digits,
    )


def _sentence(checkpoint: Checkpoint, shown: Sequence[str], sample: _Sample, twin: Checkpoint | None) -> str:
    said = [] if has_shortcuts(checkpoint) else [t("blocks.strip_plain")]
    said.append(t("blocks.strip_read", count=sample.count, split=t(SPLITS[sample.split]), before=before_label(checkpoint)))
    if "ratio" in shown:
        said.append(t("blocks.strip_ratio"))
    if "residual_std" in shown:
        said.append(t("blocks.strip_formula"))
    if twin is not None:
        shared = any(not MEASURES[name].needs_shortcut for name in shown)
        said.append(t("blocks.strip_twin" if shared else "blocks.strip_twin_none", network=network_label(twin.model_name), name=twin.name))
    return " ".join(said)


def _csv(measured: _Measured) -> bytes:
    """One line per block: every measurement, the std by the closed form, then the same at initialisation and of the twin."""
    tables = [pd.DataFrame([asdict(block) for block in measured.trained]), pd.DataFrame({"residual_std_formula": measured.formula})]
    for prefix, blocks in (("initial_", measured.initial), ("twin_", measured.twin)):
        if blocks:
            rows = pd.DataFrame([asdict(block) for block in blocks])
            tables.append(rows.drop(columns=["name", "stage", "block"]).add_prefix(prefix))
    return pd.concat(tables, axis=1).to_csv(index=False).encode()
