"""Where the two networks part: a matrix whose cells open their images, and shortcuts to the telling ones."""

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.charts.answers import CELL, answer_matrix
from dashboard.components.compare.data import Answered
from dashboard.components.compare.pair import Pair
from dashboard.components.formats import percent
from dashboard.components.gallery import Picture, gallery
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.measuring import pixels_of
from dashboard.state import ImageChoice, select
from resnet_core.comparison import AGAINST, SHORTCUTS

COLUMNS, ROWS = 8, 2
ON_A_PAGE = COLUMNS * ROWS
CHOSEN, PAGE = "compare_cell", "compare_page"  # keys of the session: (row, column) or a shortcut's name; the page of its images


def matrix_view(pair: Pair, answered: Answered) -> None:
    """The matrix, the shortcuts and the images of whichever was chosen last; a click on an image chooses it for the whole page."""
    against = st.segmented_control(
        t("compare.columns"),
        list(AGAINST),
        format_func=lambda option: t(f"compare.against_{option}"),
        default=AGAINST[0],
        required=True,
        key="compare_against",
        on_change=_forget,
        label_visibility="collapsed",
    )
    classes = pair.a.spec.classes
    cell = _chosen_cell(len(classes))
    chart = answer_matrix(
        answered.answers.matrix(against),
        classes,
        row_title=t("compare.rows_axis"),
        column_title=t(f"compare.columns_axis_{against}"),
        count_title=t("compare.images"),
        selected=cell,
    )

    def opened(row: int, column: int) -> None:
        st.session_state[CHOSEN], st.session_state[PAGE] = (row, column), 0
        st.session_state["compare_shortcut"] = None
        places = answered.answers.cell(row, column, against)
        if len(places) == 1:  # there is nothing to choose from
            _look_at(pair, int(answered.indices[places[0]]))

    def clicked() -> None:
        points = st.session_state["compare_matrix"].selection.get(CELL) or []
        if points:
            opened(int(points[0]["row"]), int(points[0]["column"]))

    show_vega(
        chart,
        key="compare_matrix",
        on_select=clicked,
        selection_mode=CELL,
        alt=t("compare.matrix_alt", n=len(answered.indices)),
    )
    _shortcuts(answered)
    _cell_by_name(classes, against, opened)
    _images(pair, answered, against)


def _chosen_cell(classes: int) -> tuple[int, int] | None:
    chosen = st.session_state.get(CHOSEN)
    if isinstance(chosen, str) or chosen is None or max(chosen) >= classes:
        return None
    return int(chosen[0]), int(chosen[1])


def _forget() -> None:
    st.session_state.pop(CHOSEN, None)
    st.session_state[PAGE] = 0


def _shortcuts(answered: Answered) -> None:
    counts = {name: len(answered.answers.shortcut(name)) for name in SHORTCUTS}

    def changed() -> None:
        st.session_state[CHOSEN] = st.session_state["compare_shortcut"]
        st.session_state[PAGE] = 0

    st.pills(
        t("compare.shortcuts"),
        list(SHORTCUTS),
        format_func=lambda name: t("compare.counted", what=t(f"compare.shortcut_{name}"), count=f"{counts[name]:,}"),
        key="compare_shortcut",
        on_change=changed,
        label_visibility="collapsed",
        wrap=True,
    )


def _cell_by_name(classes: Sequence[str], against: str, opened: Callable[[int, int], None]) -> None:
    """The same as a click on a cell, for those who work by keyboard."""
    keys = ("compare_row", "compare_column")
    numbers = list(range(len(classes)))
    for key in keys:
        if st.session_state.get(key) not in (None, *numbers):
            st.session_state.pop(key)

    def changed() -> None:
        row, column = (st.session_state[key] for key in keys)
        if row is not None and column is not None:
            opened(row, column)

    with st.popover(t("compare.cell_by_name"), icon=":material/grid_view:"):
        for key, label in zip(keys, (t("compare.rows_axis"), t(f"compare.columns_axis_{against}")), strict=True):
            st.selectbox(
                label, numbers, index=None, format_func=classes.__getitem__, key=key, on_change=changed, placeholder=t("compare.any_class")
            )


def chosen_places(pair: Pair, answered: Answered, against: str) -> tuple[str, NDArray[np.int64]]:
    """What is open, in words, and the places of its images among the answers; the disagreements where nothing was chosen."""
    chosen, cell = st.session_state.get(CHOSEN), _chosen_cell(len(pair.a.spec.classes))
    if cell is not None:
        classes = pair.a.spec.classes
        return t(f"compare.cell_{against}", row=classes[cell[0]], column=classes[cell[1]]), answered.answers.cell(*cell, against)
    name = chosen if isinstance(chosen, str) and chosen in SHORTCUTS else "confident_mistakes"
    places = answered.answers.shortcut(name)
    return t(f"compare.shortcut_{name}"), places


def _images(pair: Pair, answered: Answered, against: str) -> None:
    title, places = chosen_places(pair, answered, against)
    pages = max(1, -(-len(places) // ON_A_PAGE))
    page = int(st.session_state.get(PAGE, 0)) % pages
    shown = places[page * ON_A_PAGE : (page + 1) * ON_A_PAGE]

    def turn(by: int) -> None:
        st.session_state[PAGE] = page + by

    with st.container(horizontal=True, wrap=False, gap="xsmall", vertical_alignment="center"):
        st.markdown(t("compare.opened", title=title, count=f"{len(places):,}"), width="stretch")
        if pages > 1:
            st.button("", icon=":material/chevron_left:", key="compare_back", help=t("pick.page_back"), on_click=turn, args=(-1,))
            st.button("", icon=":material/chevron_right:", key="compare_forward", help=t("pick.page_forward"), on_click=turn, args=(1,))
    images = pair.images(0)
    gallery(
        [
            Picture(
                value=int(answered.indices[place]),
                title=_said(pair, answered, int(place)),
                pixels=pixels_of(images.images[answered.indices[place]]),
            )
            for place in shown
        ],
        key="compare_gallery",
        columns=COLUMNS,
        selected=pair.image.index,
        on_pick=lambda index: _look_at(pair, index),
    )
    st.caption(t("compare.matrix_read"))


def _look_at(pair: Pair, index: int) -> None:
    dataset, split = pair.data
    select(image=ImageChoice(dataset=dataset, split=split, index=index))


def _said(pair: Pair, answered: Answered, place: int) -> str:
    """Label, and what both say of it."""
    a, b, classes = answered.answers.a, answered.answers.b, pair.a.spec.classes
    return t(
        "compare.image_said",
        index=int(answered.indices[place]),
        label=classes[int(a.labels[place])],
        a=classes[int(a.predictions[place])],
        a_sure=percent(float(a.confidence[place]), 1),
        b=classes[int(b.predictions[place])],
        b_sure=percent(float(b.confidence[place]), 1),
    )
