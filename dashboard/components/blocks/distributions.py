"""How the values of x, F and their sum are spread in one block, and what F does at each position."""

import streamlit as st

from dashboard.charts.distributions import Share, Values, histograms, share_bar
from dashboard.charts.theme import PLOTLY_CONFIG, RESIDUAL, SHORTCUT, SUM
from dashboard.components.blocks.maps import shortcut_name
from dashboard.i18n import t
from resnet_core.inspection import BlockMaps, position_shares

CANCELS, AMPLIFIES, ADDS, NOTHING = "#8A55B0", "#4C9F62", "#B0842A", "#8793A1"


def distribution_view(maps: BlockMaps) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader(t("blocks.histogram_title"), anchor=False)
        tensors = [Values(name="x", values=maps.input, color=SHORTCUT), Values(name="F(x)", values=maps.residual, color=RESIDUAL)]
        if maps.shortcut is not None and maps.sum is not None:
            tensors[0] = Values(name=shortcut_name(maps), values=maps.shortcut, color=SHORTCUT)
            tensors.append(Values(name=f"{tensors[0].name} + F(x)", values=maps.sum, color=SUM))
        figure = histograms(tensors, x_title=t("blocks.activation"), y_title=t("blocks.positions"))
        st.plotly_chart(figure, config=PLOTLY_CONFIG, key="block_histograms", alt=t("blocks.histogram_title"))
        st.caption(t("blocks.histogram_read"))
    with right:
        st.subheader(t("blocks.shares_title"), anchor=False)
        shares = position_shares(maps)
        if shares is None:
            st.caption(t("blocks.shares_plain"))
            return
        parts = [
            Share(name=t("blocks.cancels"), share=shares.cancels, color=CANCELS),
            Share(name=t("blocks.amplifies"), share=shares.amplifies, color=AMPLIFIES),
            Share(name=t("blocks.adds"), share=shares.adds, color=ADDS),
            Share(name=t("blocks.does_nothing"), share=shares.nothing, color=NOTHING),
        ]
        st.plotly_chart(
            share_bar(parts), config={**PLOTLY_CONFIG, "modeBarButtons": [["toImage"]]}, key="block_shares", alt=t("blocks.shares_title")
        )
        st.caption(t("blocks.shares_read"))
