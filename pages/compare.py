"""Two networks on the same images: numbers, where they part, what each looks at, how alike they are inside."""

import streamlit as st

from dashboard.bootstrap import bootstrap, guarded
from dashboard.components.compare.attributions import attribution_view, keep_place_of_maps
from dashboard.components.compare.data import answered
from dashboard.components.compare.matrix import matrix_view
from dashboard.components.compare.numbers import numbers_view
from dashboard.components.compare.pair import pair_picker
from dashboard.components.compare.panels import compare_panels
from dashboard.i18n import t

bootstrap("compare")
with guarded():
    pair = pair_picker()
    if pair is not None:
        numbers = st.container()
        matrix, pictures = st.columns([1, 2], gap="medium")
        with pictures:
            place = keep_place_of_maps()
        with numbers, st.spinner(t("compare.answering")):
            found = answered(pair)
            numbers_view(pair, found)
        with matrix:
            matrix_view(pair, found)
        place.empty()
        with pictures:
            shown = attribution_view(pair, found)
        compare_panels(pair, found, shown)
