"""Vega charts on a page."""

from functools import partial
from typing import Any

import altair as alt
import streamlit as st

from dashboard.charts.curves import LiveChart

Chart = alt.Chart | alt.LayerChart  # by name, since a parameter is called alt


def show_vega(chart: Chart | LiveChart, *, alt: str, key: str | None = None, **options: Any) -> Any:
    """A chart as wide as its place; `alt` says in words what it shows."""
    if isinstance(chart, LiveChart):
        return st.vega_lite_chart(spec={**chart.spec, "datasets": {**chart.tables}}, width="stretch", key=key, alt=alt, **options)
    return st.altair_chart(_unchecked(chart, key), width="stretch", key=key, alt=alt, **options)


def show_growing(chart: LiveChart, *, alt: str, key: str) -> None:
    """A chart whose numbers are still coming, in a fragment. It stays zoomed in: for a chart that tells of its zoom Streamlit restores it."""
    show_vega(chart, key=key, alt=alt, on_select="rerun", selection_mode=chart.zoom)


def _unchecked(chart: Chart, key: str | None) -> Chart:
    """Altair would compare the whole chart with Vega-Lite's schema at every run of the page, which takes most of its time: tests do it."""
    object.__setattr__(chart, "to_dict", partial(chart.to_dict, validate=False))  # a plain assignment would be a property of the chart
    return chart
