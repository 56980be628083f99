"""A network without residual blocks: what its layers make of the image, as maps and in size."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dashboard.charts.gradient_norms import NormLine, NormRow, norm_figure
from dashboard.charts.theme import PLOTLY_CONFIG, network_style
from dashboard.components.linked_maps import MapPanel, Reading, linked_maps, sheet_columns, tiled
from dashboard.components.names import network_label
from dashboard.i18n import t
from dashboard.measuring import layers_of
from dashboard.state import ShownImage
from resnet_core.inspection.layers import LayerMaps
from resnet_core.runs import Checkpoint

MEAN, ONE, ALL = "mean", "one", "all"
BESIDE = 4  # layers next to each other
HEIGHT = 230


def layers_view(checkpoint: Checkpoint, image: ShownImage) -> None:
    """Maps of one layer (or of several in a row), then the size of all of them."""
    layers = layers_of(checkpoint, image)
    network = network_label(checkpoint.model_name)
    st.info(t("layers.no_blocks", network=network), icon=":material/info:")
    if not layers:
        st.caption(t("layers.none", network=network))
        return
    place = _layer_picker(layers)
    chosen = layers[place]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        mode, channel = _channel_picker(chosen)
    start = min(place, max(0, len(layers) - BESIDE))
    row = layers[start : start + BESIDE] if mode == MEAN else [chosen]
    with st.container(key="layer_maps"):
        linked_maps(
            [_panel(layer, mode, channel) for layer in row],
            Reading(where=_where(mode, channel)),
            key="layer_maps_chart",
            place=f"{row[0].name} {mode == ALL}",
            alt=t("layers.alt", layer=chosen.name, network=network),
            height=HEIGHT,
            file=f"{checkpoint.name}-{chosen.name}.png",
        )
    st.caption(t("layers.read_mean") if mode == MEAN else t("layers.read", layer=chosen.name, kind=chosen.kind))
    _sizes(checkpoint, layers)


def _layer_picker(layers: Sequence[LayerMaps]) -> int:
    names = [layer.name for layer in layers]
    if st.session_state.get("layer_picker") not in names:
        st.session_state["layer_picker"] = names[0]
    chosen = st.select_slider(t("layers.layer"), names, key="layer_picker")
    return names.index(chosen)


def _channel_picker(layer: LayerMaps) -> tuple[str, int]:
    words = {MEAN: "blocks.mode_mean", ONE: "blocks.mode_one", ALL: "blocks.mode_all"}
    mode = st.segmented_control(
        t("blocks.channels"), list(words), format_func=lambda option: t(words[option]), default=MEAN, required=True, key="layer_mode"
    )
    norms = np.linalg.norm(layer.activations.reshape(len(layer.activations), -1), axis=1)
    order = [int(channel) for channel in np.argsort(-norms, kind="stable")]
    if st.session_state.get("layer_channel") not in order:
        st.session_state["layer_channel"] = order[0]
    channel = st.selectbox(
        t("layers.channel"),
        order,
        format_func=lambda option: t("blocks.channel_value", channel=option, value=f"{norms[option]:.3g}"),
        key="layer_channel",
        disabled=mode != ONE,
        width=220,
    )
    return str(mode), int(channel)


def _panel(layer: LayerMaps, mode: str, channel: int) -> MapPanel:
    count, height, width = layer.activations.shape
    title = f"{layer.name} ({count}×{height}×{width})"
    if mode == ALL:
        return MapPanel(title=title, values=tiled(layer.activations), tile=(height, width, sheet_columns(count)))
    return MapPanel(title=title, values=layer.activations.mean(0) if mode == MEAN else layer.activations[channel])


def _where(mode: str, channel: int) -> str:
    return {MEAN: t("blocks.mode_mean"), ONE: f"{t('blocks.channel')} {channel}", ALL: t("blocks.channel")}[mode]


def _sizes(checkpoint: Checkpoint, layers: Sequence[LayerMaps]) -> None:
    line = NormLine(
        name=network_label(checkpoint.model_name),
        style=network_style(checkpoint.model_name),
        x=list(range(len(layers))),
        y=[float(np.sqrt(np.square(layer.activations).mean())) for layer in layers],
        texts=[layer.name for layer in layers],
    )
    figure = norm_figure([], [NormRow(title=t("layers.size"), lines=[line])], x_title=t("gradients.layer_axis"), row_height=170)
    alt = t("layers.size_read")
    st.plotly_chart(figure, config={**PLOTLY_CONFIG, "modeBarButtons": [["toImage"]]}, key="layer_sizes", alt=alt)
    st.caption(alt)
