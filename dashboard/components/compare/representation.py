"""How alike the two networks are inside, and where the images lie in their last features."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st
import torch
from numpy.typing import NDArray

from dashboard.charts.representation import POINT, Points, cka_heatmap, projection_chart
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.data import AT_ONCE, Answered, State
from dashboard.components.compare.pair import Pair
from dashboard.components.csv_button import csv_button
from dashboard.components.formats import number, percent
from dashboard.components.names import short_block
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import settled_model
from dashboard.memory import tidied
from dashboard.state import ImageChoice, select
from resnet_core.comparison import CkaMap, Projection, cka_map, penultimate_features, principal_components, tsne, tsne_seconds
from resnet_core.data import normalize, some_images

CKA_IMAGES = 512
GRAM_SHARE = 1.3  # of a forward pass: what the Gram matrices add
METHODS = ("pca", "tsne")
BLOCK = re.compile(r"stages\.\d+\.\d+")  # other places are modules of networks without blocks


def representation_view(pair: Pair, answered: Answered, shown: Shown) -> None:
    left, right = st.columns([1, 1.35], gap="medium")
    with left:
        _cka(pair, answered)
    with right:
        _features(pair, answered)


# -- CKA --------------------------------------------------------------------------------------------------------------------------


def _cka(pair: Pair, answered: Answered) -> None:
    st.markdown(t("compare.cka_title"), help=t("compare.cka_help"))
    count = min(CKA_IMAGES, answered.available)
    a, b = answered.answers.a, answered.answers.b
    found = background_job(
        "compare_cka",
        *pair.states,
        *pair.data,
        prepare=lambda: _cka_work(pair, count),
        label=t("compare.cka_start", n=count),
        seconds=(a.expected_seconds_per_1000 + b.expected_seconds_per_1000) * count / 1000 * GRAM_SHARE,
        key="compare_cka",
    )
    if found is None:
        st.caption(t("compare.cka_what"))
        return
    chart = cka_heatmap(
        found.values,
        _place_names(found.a),
        _place_names(found.b),
        row_title=pair.labels[0],
        column_title=pair.labels[1],
        value_title="CKA",
    )
    show_vega(chart, key="compare_cka_chart", alt=t("compare.cka_alt"))
    with st.container(horizontal=True, wrap=False, gap="small"):
        csv_button(
            lambda: pd.DataFrame(found.values, index=list(found.a), columns=list(found.b)).to_csv().encode(),
            f"cka-{pair.a.name}-{pair.b.name}.csv",
            help=t("compare.cka_download"),
            key="compare_cka_csv",
        )
        st.caption(_cka_sentence(found))


def _cka_work(pair: Pair, count: int) -> Work:
    models = [settled_model(checkpoint) for checkpoint in pair.checkpoints]
    inputs = _inputs(pair, some_images(len(pair.images(0)), count, 0))
    return lambda progress: cka_map(models[0], models[1], (inputs[0], inputs[1]), progress=progress)


def _inputs(pair: Pair, indices: torch.Tensor) -> list[torch.Tensor]:
    return [normalize(pair.images(place).images[indices], c.spec) for place, c in enumerate(pair.checkpoints)]


def _place_names(names: Sequence[str]) -> list[str]:
    return [short_block(name) if BLOCK.fullmatch(name) else name for name in names]


def _cka_sentence(found: CkaMap) -> str:
    """Which block of B each end of A resembles most."""
    best = np.nanargmax(found.values, axis=1) if np.isfinite(found.values).any(1).all() else None
    read = t("compare.cka_read", n=found.count, batch=found.batch_size)
    if best is None:
        return read
    a, b = _place_names(found.a), _place_names(found.b)
    said = t(
        "compare.cka_said",
        first=a[0],
        like_first=b[best[0]],
        last=a[-1],
        like_last=b[best[-1]],
        value=number(float(found.values[-1, best[-1]]), 2),
    )
    return f"{said} {read}"


# -- the last features ------------------------------------------------------------------------------------------------------------


def _features(pair: Pair, answered: Answered) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        method = st.segmented_control(
            t("compare.features_title"),
            METHODS,
            format_func=lambda option: t(f"compare.method_{option}"),
            default=METHODS[0],
            required=True,
            key="compare_projection",
            persist_state="session",
            help=t("compare.features_help"),
        )
    features = _features_of(pair.states, pair.data, pair)
    found = _projected(pair, features, method)
    if found is None:
        return
    count = len(features[0])
    places = some_images(answered.available, AT_ONCE, 0).numpy()
    for place, column in enumerate(st.columns(2, gap="small")):
        with column:
            _scatter(pair, answered, place, found[place], places)
    if method == "pca":
        st.caption(t("compare.pca_read", n=count))
    else:
        st.caption(t("compare.tsne_read", n=count))


@st.cache_data(max_entries=8, show_spinner=False)
@tidied
def _features_of(states: tuple[State, State], data: tuple[str, str], _pair: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    inputs = _inputs(_pair, some_images(len(_pair.images(0)), AT_ONCE, 0))
    first, second = (penultimate_features(settled_model(c), part) for c, part in zip(_pair.checkpoints, inputs, strict=True))
    return first, second


def _projected(pair: Pair, features: tuple[NDArray[np.float32], NDArray[np.float32]], method: str) -> list[Projection] | None:
    if method == "pca":
        return [principal_components(part) for part in features]
    seconds = 2 * tsne_seconds(len(features[0]))

    def work(progress: Progress) -> list[Projection]:
        return [
            tsne(part, progress=lambda done, total, before=before: progress(before * total + done, 2 * total))  # type: ignore[misc]
            for before, part in enumerate(features)
        ]

    return background_job(
        "compare_tsne",
        *pair.states,
        *pair.data,
        prepare=lambda: work,
        label=t("compare.tsne_start", n=len(features[0])),
        seconds=seconds,
        key="compare_tsne",
    )


def _scatter(pair: Pair, answered: Answered, place: int, found: Projection, indices: NDArray[np.int64]) -> None:
    answers = (answered.answers.a, answered.answers.b)[place]
    rows, classes = np.searchsorted(answered.indices, indices), pair.a.spec.classes
    key = f"compare_points_{place}"
    shares = [percent(share, 0) for share in found.explained] or ["", ""]
    axes = [t("compare.pca_axis", number=i + 1, share=share) if share else "" for i, share in enumerate(shares)]
    dataset, split = pair.data

    def clicked() -> None:
        points = st.session_state[key].selection.get(POINT) or []
        if points:
            select(image=ImageChoice(dataset=dataset, split=split, index=int(points[0]["index"])))

    st.markdown(f"**{pair.labels[place]}**")
    chart = projection_chart(
        Points(
            points=found.points,
            labels=[classes[label] for label in answers.labels[rows]],
            answers=[classes[answer] for answer in answers.predictions[rows]],
            indices=indices,
        ),
        classes,
        x_title=axes[0],
        y_title=axes[1],
        label_title=t("compare.label"),
        answer_title=t("compare.answer"),
        selected=pair.image.index,
    )
    show_vega(chart, key=key, on_select=clicked, selection_mode=POINT, alt=t("compare.points_alt", network=pair.labels[place]))
