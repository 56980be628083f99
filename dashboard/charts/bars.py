"""What networks think an image is: one group of bars per class, one bar per network."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from dashboard.charts.theme import network_style

LETTERS = 45  # of three names that fit into one row of a legend


def probability_bars(
    classes: Sequence[str],
    probabilities: Mapping[str, Sequence[float]],
    *,
    models: Mapping[str, str],
    x_title: str,
    y_title: str,
    height: int = 260,
) -> alt.Chart:
    """`probabilities` by the network's name for people, each in the order of `classes`; `models` gives its model name, for the colour."""
    names = list(probabilities)
    rows = [
        {"network": name, "class": label, "probability": value}
        for name, values in probabilities.items()
        for label, value in zip(classes, values, strict=True)
    ]
    columns = 3 if sum(map(len, names)) <= LETTERS else 2
    colors = shades([network_style(models[name]).color for name in names])
    return (
        alt.Chart(pd.DataFrame(rows, columns=["network", "class", "probability"]))
        .mark_bar()
        .encode(
            x=alt.X("class:N", title=x_title, sort=list(classes), axis=alt.Axis(labelAngle=0 if len(classes) <= 12 else -45)),
            xOffset=alt.XOffset("network:N", sort=names),
            y=alt.Y("probability:Q", title=y_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%", tickCount=5)),
            color=alt.Color(
                "network:N", title=None, scale=alt.Scale(domain=names, range=colors), legend=alt.Legend(orient="top", columns=columns)
            ),
            tooltip=[
                alt.Tooltip("network:N", title=" "),
                alt.Tooltip("class:N", title=x_title),
                alt.Tooltip("probability:Q", title=y_title, format=".2%"),
            ],
        )
        .properties(height=height)
    )


def shades(colors: Sequence[str]) -> list[str]:
    """Each colour the first time as it is, then lighter and darker in turn, so that several networks of a kind can be told apart."""
    return [_mixed(color, list(colors[:place]).count(color)) for place, color in enumerate(colors)]


def _mixed(color: str, number: int) -> str:
    """With white (odd numbers) or black (even ones), the further the higher; 0 leaves it as it is."""
    ground, share = (255 if number % 2 else 0), 1 - 0.7 ** ((number + 1) // 2)
    channels = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(channel + (ground - channel) * share):02X}" for channel in channels)
