"""Vega charts on a page."""

from functools import partial
from typing import Any

import altair as alt
import streamlit as st

Chart = alt.Chart | alt.LayerChart  # by name, since a parameter is called alt


def show_vega(chart: Chart, *, alt: str, key: str | None = None, **options: Any) -> Any:
    """`st.altair_chart` as wide as its place; `alt` says in words what the chart shows."""
    return st.altair_chart(_unchecked(chart, key), width="stretch", key=key, alt=alt, **options)


def _unchecked(chart: Chart, key: str | None) -> Chart:
    """Altair would compare the whole chart with Vega-Lite's schema at every run of the page, which takes most of its time: tests do it."""
    object.__setattr__(chart, "to_dict", partial(chart.to_dict, validate=False))  # a plain assignment would be a property of the chart
    return chart
