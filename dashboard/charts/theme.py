"""One colour, one meaning: ResNet is blue and solid, plain is orange and dashed, purple to green is negative to positive.

Blue and orange differ for every kind of colour blindness; both stand at least 3:1 against the white and the dark page, so a
figure is the same in both themes. Fonts and text colours are left to the browser and its theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plotly import graph_objects as go

RESNET = "#2E86C9"
PLAIN = "#DD6B20"
REFERENCE = "#8793A1"  # what a measurement is compared with: the same network at initialisation
SELECTED = "#C2417F"  # the block or class that is chosen
BAND = "rgba(135, 147, 161, 0.13)"  # every second stage
TRANSPARENT = "rgba(0, 0, 0, 0)"

# Other series that are no networks (stages, classes), told apart by lightness as well.
SERIES = ("#64748B", "#2F9E77", "#B0842A", "#8E5BB5", "#4BA3C3", "#A8524A", "#6B8E23", "#9A9A9A", "#D17FA8", "#A89B1C")

SHORTCUT, SUM, RESIDUAL = SERIES[0], SERIES[1], SERIES[3]  # the parts of a block, wherever they are drawn

# Centred on 0 in a grey that is neither the white nor the dark page; blue and orange stay free for networks.
DIVERGING = ((0.0, "#5B2185"), (0.2, "#8A55B0"), (0.4, "#C3A8D6"), (0.5, "#E6E6E8"), (0.6, "#A6D3AE"), (0.8, "#4C9F62"), (1.0, "#0F5F2E"))
SEQUENTIAL = ((0.0, "#E6E6E8"), (0.5, "#6F9FA6"), (1.0, "#123A4A"))
GRAY = ((0.0, "#000000"), (1.0, "#FFFFFF"))
OVERLAP = 1  # px that a cell of a heatmap reaches under the next one: where both end inside a pixel the page would shine through

PLOTLY_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "scrollZoom": False,  # the wheel scrolls the page
    "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    "toImageButtonOptions": {"format": "png", "scale": 3},
}


@dataclass(frozen=True, kw_only=True)
class NetworkStyle:
    """How a network is drawn everywhere. `dash` is the pattern in pixels, empty for a solid line."""

    color: str
    dash: tuple[int, ...] = ()

    @property
    def plotly_dash(self) -> str:
        return ",".join(f"{length}px" for length in self.dash) or "solid"


def network_style(model: str) -> NetworkStyle:
    """Of a network by its model name; whatever is not plain counts as residual."""
    return NetworkStyle(color=PLAIN, dash=(6, 3)) if model.startswith("plain") else NetworkStyle(color=RESNET)


def symmetric_limit(arrays: Sequence[NDArray[Any]]) -> float:
    """The limit m of one scale from -m to m for all arrays; 1 where they hold nothing but zeros or nothing at all."""
    finite = [np.abs(array[np.isfinite(array)]) for array in arrays]
    return float(max((values.max() for values in finite if values.size), default=0.0)) or 1.0


def settled(figure: go.Figure, *, height: int, top: int = 30, bottom: int = 10, left: int = 10, right: int = 10) -> go.Figure:
    """Size, margins and what all our Plotly figures share."""
    return figure.update_layout(
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom, "pad": 0},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        dragmode="zoom",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0.0, "bgcolor": TRANSPARENT},
    )


def empty_figure(*, height: int) -> go.Figure:
    """Keeps the place of a figure that is still being measured; meanwhile the browser loads what draws it."""
    hidden = {"visible": False}
    return settled(go.Figure(layout={"xaxis": hidden, "yaxis": hidden}), height=height)


MORE_RESNET = (RESNET, "#2A6FB5", "#4E9BD8", "#0E8A93")  # each at least 3:1 on white and on the dark page, as the first ones
MORE_PLAIN = (PLAIN, "#B3541E", "#D0803A", "#B07A1E")
# When all shades are taken they come again in another dash: dots for residual networks, dashes and dots for plain ones.
AGAIN = {False: ((1, 3), (1, 6)), True: ((6, 3, 1, 3), (6, 3, 1, 3, 1, 3))}


def network_styles(models: Sequence[str]) -> list[NetworkStyle]:
    """Looks of several networks in one chart: the first of each family in its own colour, further ones in shades of it."""
    counts = {True: 0, False: 0}
    styles = []
    for model in models:
        plain = model.startswith("plain")
        shades = MORE_PLAIN if plain else MORE_RESNET
        again, shade = divmod(counts[plain], len(shades))
        dash = network_style(model).dash if again == 0 else AGAIN[plain][(again - 1) % len(AGAIN[plain])]
        styles.append(NetworkStyle(color=shades[shade], dash=dash))
        counts[plain] += 1
    return styles
