"""Histograms and shares."""

import numpy as np
import pytest

from dashboard.charts.distributions import BINS, Share, Values, histograms, share_bar

RNG = np.random.default_rng(0)


def test_histograms_count_every_value_over_the_same_bins() -> None:
    x, f = RNG.normal(size=(2, 5, 5)).astype(np.float32), 3 * RNG.normal(size=(2, 5, 5)).astype(np.float32)
    figure = histograms(
        [Values(name="x", values=x, color="#111111"), Values(name="F", values=f, color="#222222")], x_title="v", y_title="n"
    )
    limit = max(np.abs(x).max(), np.abs(f).max())
    for trace, values in zip(figure.data, (x, f), strict=True):
        counts, _ = np.histogram(values, np.linspace(-limit, limit, BINS + 1))
        assert [count or 0 for count in trace.y] == counts.tolist()
        assert sum(count or 0 for count in trace.y) == values.size
    assert np.array_equal(figure.data[0].x, figure.data[1].x)
    assert figure.data[0].x[BINS // 2] == pytest.approx(0)


def test_the_share_bar_shows_the_shares_in_their_order() -> None:
    figure = share_bar([Share(name="a", share=0.25, color="#111111"), Share(name="b", share=0.75, color="#222222")])
    assert [(trace.name, trace.x[0]) for trace in figure.data] == [("a", 0.25), ("b", 0.75)]
    assert figure.layout.barmode == "stack"
    assert figure.layout.legend.traceorder == "normal"
