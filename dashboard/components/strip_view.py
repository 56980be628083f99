"""All blocks of a network beside each other, measured over many images, with the same network before training behind them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import streamlit as st

from dashboard.charts.strip import StripBlock, StripRow, block_strip
from dashboard.charts.theme import PLOTLY_CONFIG, network_style
from dashboard.components.block_picker import select_clicked_block
from dashboard.components.formats import duration
from dashboard.components.image_picker import SPLITS
from dashboard.components.names import block_label, network_label
from dashboard.i18n import t
from dashboard.loading import checkpoint_images, has_shortcuts
from dashboard.measuring import seconds_per_image, statistics_of
from resnet_core.inspection import BlockStatistics, inverse_root_line
from resnet_core.runs import Checkpoint

COUNT = 128
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
    "residual_norm": Measure(title="blocks.residual_norm", help="blocks.residual_norm_help", digits=".3g"),
    "output_norm": Measure(title="blocks.output_norm", help="blocks.output_norm_help", digits=".3g"),
    "dead_share": Measure(title="blocks.dead_share", help="blocks.dead_share_help", digits=".0%", bounds=(0, 1)),
}
WITH_SHORTCUT, WITHOUT = ["ratio", "cosine"], ["residual_std", "dead_share"]


@dataclass(frozen=True, kw_only=True)
class _Sample:
    split: str
    count: int
    seed: int


def strip_view(checkpoint: Checkpoint, dataset: str, block: str) -> None:
    """The strip with its settings; a click on a column chooses the block. Nothing for a network without blocks."""
    shortcuts = has_shortcuts(checkpoint)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        shown = _measure_picker(shortcuts)
        with st.popover(t("blocks.sample"), icon=":material/tune:"):
            sample = _sample_picker(checkpoint, dataset)
        download = st.empty()
    with st.spinner(t("blocks.measuring", count=sample.count)):
        trained = _measured(checkpoint, dataset, sample, initial=False)
        initial = _measured(checkpoint, dataset, sample, initial=True)
    with download:
        st.download_button(
            "",
            data=lambda: _csv(trained, initial),
            file_name=f"{checkpoint.name}-blocks.csv",
            mime="text/csv",
            icon=":material/download:",
            help=t("blocks.download_strip"),
            key="block_strip_csv",
            on_click="ignore",
        )
    figure = block_strip(
        [StripBlock(name=b.name, stage=b.stage, label=block_label(b.name), stage_label=t("blocks.stage", stage=b.stage)) for b in trained],
        [_row(name, trained, initial) for name in shown],
        style=network_style(checkpoint.model_name),
        value_label=t("blocks.trained", network=network_label(checkpoint.model_name)),
        reference_label=t("blocks.initial"),
        guide_label=t("blocks.guide"),
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
            alt=t("blocks.strip_alt", network=network_label(checkpoint.model_name)),
        )
    st.caption(_sentence(shown, shortcuts, sample))


def _measured(checkpoint: Checkpoint, dataset: str, sample: _Sample, *, initial: bool) -> tuple[BlockStatistics, ...]:
    return statistics_of(checkpoint, dataset, sample.split, count=sample.count, seed=sample.seed, initial=initial)


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
    split = st.segmented_control(
        t("pick.split"), list(SPLITS), format_func=lambda option: t(SPLITS[option]), default="test", required=True, key="strip_split"
    )
    _, images = checkpoint_images(checkpoint, dataset, split)
    most = min(len(images), MOST)
    count = st.number_input(t("blocks.count", most=most), 1, most, min(COUNT, most), step=64, key="strip_count")
    seed = st.number_input(t("blocks.seed"), 0, 2**31 - 1, 0, key="strip_seed", help=t("blocks.seed_help"))
    st.caption(t("blocks.cost", time=duration(max(1, 2 * count * seconds_per_image(checkpoint)))))
    return _Sample(split=split, count=int(count), seed=int(seed))


def _row(name: str, trained: Sequence[BlockStatistics], initial: Sequence[BlockStatistics]) -> StripRow:
    measure = MEASURES[name]
    return StripRow(
        title=t(measure.title),
        values=[getattr(block, name) for block in trained],
        spread=[getattr(block, measure.spread) for block in trained] if measure.spread else None,
        reference=[getattr(block, name) for block in initial],
        guide=inverse_root_line(initial) if name == "ratio" else None,
        range=measure.bounds,
        digits=measure.digits,
    )


def _sentence(shown: Sequence[str], shortcuts: bool, sample: _Sample) -> str:
    said = t("blocks.strip_read", count=sample.count, split=t(SPLITS[sample.split]))
    if not shortcuts:
        return f"{t('blocks.strip_plain')} {said}"
    return f"{said} {t('blocks.strip_ratio')}" if "ratio" in shown else said


def _csv(trained: Sequence[BlockStatistics], initial: Sequence[BlockStatistics]) -> bytes:
    """One line per block: every measurement, then the same at initialisation."""
    first = pd.DataFrame([asdict(block) for block in trained])
    second = pd.DataFrame([asdict(block) for block in initial]).drop(columns=["name", "stage", "block"]).add_prefix("initial_")
    return pd.concat([first, second], axis=1).to_csv(index=False).encode()
