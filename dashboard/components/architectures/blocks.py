"""What a block costs: BasicBlock against Bottleneck, shortcut options A, B and C, and the order of v1 and v2."""

import altair as alt
import pandas as pd
import streamlit as st

from dashboard.charts.block_diagram import opened
from dashboard.charts.diagram import short_number
from dashboard.charts.theme import RESIDUAL, SHORTCUT
from dashboard.components.architectures.described import Subject, described
from dashboard.components.architectures.diagram import words
from dashboard.components.architectures.drawing import show_drawing
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from resnet_core.config import ModelConfig
from resnet_core.models import ModelDescription
from resnet_core.models.block_costs import BASIC, BOTTLENECK, block_cost

KINDS = (BASIC, BOTTLENECK)
OPTIONS = ("A", "B", "C")
CHANNELS, SIDE = 256, 14
ORDER = "resnet8"  # whose blocks show the order of layers


def blocks_view(subject: Subject, drawn: ModelDescription) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        channels = int(
            st.number_input(
                t("architectures.channel_count"),
                4,
                8192,
                CHANNELS,
                step=4,
                key="block_channels",
                persist_state="session",
                help=t("architectures.channel_help"),
                width=200,
            )
        )
        side = int(st.number_input(t("architectures.map_side"), 1, 512, SIDE, key="block_side", persist_state="session", width=200))
    left, right = st.columns(2, gap="large")
    with left:
        _kinds(channels, side)
    with right:
        _options(channels, side)
    _orders()


def _kinds(channels: int, side: int) -> None:
    st.subheader(t("architectures.kinds_title"), anchor=False)
    costs = {kind: block_cost(kind, channels, side) for kind in KINDS}
    for kind, column in zip(KINDS, st.columns(2), strict=True):
        inner = max(channels // 4, 1)
        with column, st.container(border=True, gap="xsmall"):
            st.markdown(f"**{kind}**")
            lines = (f"3×3, {channels}",) * 2 if kind == BASIC else (f"1×1, {inner}", f"3×3, {inner}", f"1×1, {channels}")
            st.caption("  \n".join(lines))
            st.metric(t("architectures.parameters"), f"{costs[kind].parameters:,}")
            st.metric(t("architectures.macs"), short_number(costs[kind].macs))
    ratio = costs[BASIC].parameters / costs[BOTTLENECK].parameters
    st.caption(t("architectures.kinds_read", channels=channels, ratio=f"{ratio:.1f}"))


def _options(channels: int, side: int) -> None:
    st.subheader(t("architectures.options_title"), anchor=False)
    kind = st.segmented_control(
        t("architectures.block_kind"), KINDS, default=BASIC, required=True, key="block_kind", persist_state="session"
    )
    rows = []
    for widens in (True, False):
        place = (
            t("architectures.place_first", before=max(channels // 2, 1), channels=channels) if widens else t("architectures.place_inside")
        )
        for option in OPTIONS:
            cost = block_cost(kind, channels, side, option=option, widens=widens)
            rows.append(
                {
                    "place": place,
                    "option": option,
                    "shortcut": cost.shortcut_parameters,
                    "residual": cost.parameters - cost.shortcut_parameters,
                    "macs": cost.macs,
                }
            )
    data = pd.DataFrame(rows)
    parts = {"residual": "F(x)", "shortcut": t("architectures.shortcut")}
    long = data.melt(id_vars=["place", "option"], value_vars=list(parts), var_name="part", value_name="parameters")
    long["part"] = long["part"].map(parts)
    chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("parameters:Q", title=t("architectures.parameters"), axis=alt.Axis(format="~s", tickCount=4)),
            y=alt.Y("option:N", title=None),
            row=alt.Row(
                "place:N",
                title=None,
                sort=[rows[0]["place"], rows[3]["place"]],
                header=alt.Header(labelAngle=0, labelAlign="left", labelLimit=400, labelOrient="top", labelAnchor="start"),
            ),
            color=alt.Color(
                "part:N",
                title=None,
                scale=alt.Scale(domain=list(parts.values()), range=[RESIDUAL, SHORTCUT]),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                alt.Tooltip("option:N", title=" "),
                alt.Tooltip("part:N", title=" "),
                alt.Tooltip("parameters:Q", title=t("architectures.parameters"), format=","),
            ],
        )
        .properties(height=84, width=430)
    )
    show_vega(chart, key="block_options", alt=t("architectures.options_alt"))
    by = dict(zip(OPTIONS, rows[:3], strict=True))
    st.caption(t("architectures.options_read", b=f"{by['B']['shortcut']:,}", c=f"{rows[5]['shortcut']:,}"))


def _orders() -> None:
    st.subheader(t("architectures.orders_title"), anchor=False)
    for version, column in zip(("v1", "v2"), st.columns(2, gap="large"), strict=True):
        with column:
            found = described(Subject(config=ModelConfig(model=ORDER, version=version)))
            block = found.parts[1].blocks[0]
            st.markdown(t(f"architectures.order_{version}"))
            show_drawing(
                opened(block, found.layers, words()),
                key=f"order_{version}",
                alt=t(f"architectures.order_{version}"),
                file=f"block-{version}",
                room=460,
            )
    st.caption(t("architectures.orders_read"))
