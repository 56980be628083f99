"""Gradients along a line, and their autocorrelation."""

import numpy as np

from dashboard.charts.shatter import CorrelationLine, correlation_chart, trace_chart
from dashboard.charts.theme import REFERENCE, NetworkStyle, network_style


def test_a_trace_has_its_points_and_its_colour() -> None:
    spec = trace_chart(
        np.array([0.0, 1.0]), np.array([3.0, -4.0]), style=network_style("plain"), title="one", x_title=None, y_title="g"
    ).to_dict()
    (points,) = spec["datasets"].values()
    assert points == [{"x": 0.0, "y": 3.0}, {"x": 1.0, "y": -4.0}]
    assert spec["mark"]["color"] == network_style("plain").color
    assert spec["title"]["text"] == "one"
    assert spec["encoding"]["x"]["axis"]["labels"] is False, "traces above each other share the lowest one's axis"


def test_lines_keep_their_looks() -> None:
    lines = [
        CorrelationLine(name="mine", style=network_style("resnet20"), lags=(1, 2), values=(0.9, 0.8)),
        CorrelationLine(name="noise", style=NetworkStyle(color=REFERENCE, dash=(1, 3)), lags=(1, 2), values=(0.0, 0.01), faint=True),
    ]
    spec = correlation_chart(lines, x_title="lag", y_title="r").to_dict()
    (rows,) = spec["datasets"].values()
    assert [(row["name"], row["lag"], row["value"], row["faint"]) for row in rows] == [
        ("mine", 1, 0.9, False), ("mine", 2, 0.8, False), ("noise", 1, 0.0, True), ("noise", 2, 0.01, True),
    ]  # fmt: skip
    encoding = spec["layer"][0]["encoding"]
    assert encoding["color"]["scale"] == {"domain": ["mine", "noise"], "range": [network_style("resnet20").color, REFERENCE]}
    assert encoding["strokeDash"]["scale"]["range"] == [[1, 0], [1, 3]]
