"""One method over many images: mean maps, figures of A against B with intervals, and whether the shortcut changes what is looked at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
import torch
from numpy.typing import NDArray

from dashboard.charts.attributions import MapCell, MapRow, attribution_grid
from dashboard.charts.theme import PLOTLY_CONFIG, symmetric_limit
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.data import Answered
from dashboard.components.compare.maps import Request, image_link, in_one, references_of, seconds_of_passes, traits
from dashboard.components.compare.matrix import chosen_places
from dashboard.components.compare.pair import Pair
from dashboard.components.formats import number
from dashboard.components.names import network_label
from dashboard.i18n import t
from dashboard.loading import file_state, images_beside, open_checkpoint, settled_model, store
from dashboard.navigation import link_to
from resnet_core.attribution import (
    METHODS,
    Agreement,
    Cohort,
    Passes,
    QualitySettings,
    cost_of,
    figure_gaps,
    influence,
    over_images,
    quality_cost,
    to_csv,
)
from resnet_core.comparison import answer
from resnet_core.data import some_images
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint, shipped_names
from resnet_core.statistics import FEWEST, Interval

COUNT, MOST, LEAST = 100, 1000, 2
BUDGET = 256e6  # bytes of the maps of all three networks
OPENED = -1  # instead of a class: the images that are open beside the matrix
TARGETS = ("label", "a", "b")
# Fewer draws than for a single image: the mean over many of them is steady all the same.
QUALITY = QualitySettings(squares=32, neighbours=3, points=10, random_orders=2)
SHOWN_FIGURES = ("completeness_error", "unexplained", "sensitivity", "deletion", "insertion", "edge_deletion", "edge_insertion")


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """Which images (their numbers in the split), about which class, and whether maps are judged."""

    request: Request
    indices: tuple[int, ...]
    target: str
    judged: bool
    second: Checkpoint | None


@dataclass(frozen=True, kw_only=True)
class _Cohorts:
    a: Cohort
    b: Cohort
    second: Cohort | None


def many_view(pair: Pair, answered: Answered, shown: Shown) -> None:
    if not shown:
        st.info(t("compare.no_methods"), icon=":material/info:")
        return
    wish = _wish(pair, answered, shown)
    if wish is None:
        return
    found = background_job(
        "compare_many",
        *pair.states,
        *pair.data,
        wish.request.method,
        str(wish.request.settings.to_dict()),
        wish.indices,
        wish.target,
        wish.judged,
        None if wish.second is None else file_state(wish.second),
        prepare=lambda: _work(pair, wish),
        label=t("compare.many_start", method=METHODS[wish.request.method].title, n=len(wish.indices)),
        seconds=_seconds(pair, answered, wish),
        key="compare_many",
    )
    if found is None:
        st.caption(t("compare.many_what"))
        return
    pictures, words = st.columns([1, 1.2], gap="medium")
    with pictures:
        _mean_maps(pair, wish, found)
    with words:
        _influence(pair, wish, found)
        _figures(pair, found)
        _download(pair, wish, found)


# -- what is asked ----------------------------------------------------------------------------------------------------------------


def _wish(pair: Pair, answered: Answered, shown: Shown) -> _Wish | None:
    requests = {request.method: request for request, _ in shown}
    classes = pair.a.spec.classes
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if st.session_state.get("compare_many_method") not in requests:
            st.session_state["compare_many_method"] = next(iter(requests))
        method = st.selectbox(
            t("compare.many_method"), list(requests), format_func=lambda name: METHODS[name].title, key="compare_many_method"
        )
        group = st.selectbox(
            t("compare.many_group"),
            [OPENED, *range(len(classes))],
            format_func=lambda option: t("compare.many_opened") if option == OPENED else t("compare.many_class", name=classes[option]),
            index=1,
            key="compare_many_group",
        )
        most = _most(pair)
        st.session_state["compare_many_count"] = min(st.session_state.get("compare_many_count") or COUNT, most)
        count = st.number_input(t("compare.many_count"), LEAST, most, step=10, key="compare_many_count", persist_state="session", width=120)
        target = st.selectbox(
            t("compare.target"),
            TARGETS,
            format_func=lambda option: t(f"compare.many_target_{option}"),
            key="compare_many_target",
            persist_state="session",
            width=160,
        )
        judged = st.toggle(
            t("compare.many_judged"), value=True, key="compare_many_judged", help=t("compare.many_judged_help"), persist_state="session"
        )
    indices = _indices(pair, answered, group, int(count))
    if len(indices) < LEAST:
        st.info(t("compare.many_few", n=len(indices)), icon=":material/info:")
        return None
    if group == OPENED and len(indices) < count and not answered.is_whole:
        st.caption(t("compare.many_short", n=len(indices)))
    return _Wish(request=requests[method], indices=tuple(indices.tolist()), target=target, judged=bool(judged), second=second_seed(pair.a))


def _most(pair: Pair) -> int:
    """Images whose maps fit into the budget."""
    spec = pair.spec
    return int(min(MOST, max(LEAST, BUDGET // (3 * 4 * spec.channels * spec.height * spec.width))))


def _indices(pair: Pair, answered: Answered, group: int, count: int) -> NDArray[np.int64]:
    """Of a class, `count` images of the whole split, drawn by seed 0; of what is open beside the matrix, the first ones."""
    if group == OPENED:
        return answered.indices[chosen_places(pair, answered, st.session_state.get("compare_against") or "b")[1][:count]]
    own = np.flatnonzero(pair.images(0).labels.numpy() == group)
    return own[some_images(len(own), count, 0).numpy()]


def second_seed(checkpoint: Checkpoint) -> Checkpoint | None:
    """A finished training of the same network on the same data from another seed, the newest one; all other settings are the same."""
    own = checkpoint.config.flat()
    for name in (*shipped_names(), *(run.run for run in store().runs() if run.status == "finished")):
        try:
            other = open_checkpoint(name)
        except UserError:  # it has no weights yet, or is damaged: Runs says so
            continue
        differs = {key for key, value in other.config.flat().items() if own[key] != value}
        if differs == {"seed"} and other.spec == checkpoint.spec:
            return other
    return None


def _seconds(pair: Pair, answered: Answered, wish: _Wish) -> float:
    method, total = METHODS[wish.request.method], 0.0
    for place, checkpoint in enumerate(pair.checkpoints):
        about = (checkpoint.spec, traits(checkpoint))
        passes = cost_of(method, wish.request.cheapest, *about)
        if wish.judged:
            more = quality_cost(method, wish.request.cheapest, QUALITY, *about)
            passes = Passes(forward=passes.forward + more.forward, backward=passes.backward + more.backward)
        share = 2 if place == 0 and wish.second is not None else 1
        total += share * len(wish.indices) * seconds_of_passes(answered, place, passes)
    return total


def _work(pair: Pair, wish: _Wish) -> Work:
    indices = np.array(wish.indices)
    networks = [(c, pair.images(place), references_of(pair, place)) for place, c in enumerate(pair.checkpoints)]
    if wish.second is not None:
        networks.append((wish.second, images_beside(pair.a, wish.second, *pair.data), networks[0][2]))
    given = [(c, settled_model(c), split.take(torch.from_numpy(indices)), others) for c, split, others in networks]

    def work(progress: Progress) -> _Cohorts:
        labels = given[0][2].labels.numpy()
        if wish.target != "label":
            asked = given["ab".index(wish.target)]
            labels = answer(asked[1], asked[2], asked[0].spec).predictions
        found = [
            over_images(
                model,
                images.images,
                checkpoint.spec,
                wish.request.method,
                wish.request.settings,
                targets=labels.tolist(),
                indices=indices.tolist(),
                quality=QUALITY if wish.judged else None,
                references=others,
                progress=lambda done, total, before=number: progress(before * total + done, len(given) * total),  # type: ignore[misc]
                name=network_label(checkpoint.model_name),
            )
            for number, (checkpoint, model, images, others) in enumerate(given)
        ]
        return _Cohorts(a=found[0], b=found[1], second=found[2] if len(found) > 2 else None)

    return work


# -- what was found ---------------------------------------------------------------------------------------------------------------


def _mean_maps(pair: Pair, wish: _Wish, found: _Cohorts) -> None:
    maps = [in_one(cohort.mean_map, None) for cohort in (found.a, found.b)]
    same = maps[0].shape == maps[1].shape
    limit = symmetric_limit(maps)
    cells = [MapCell(values=values, limit=limit, note=f"±{number(limit)}") for values in maps]
    if same:
        cells.append(MapCell(values=maps[0] - maps[1], limit=limit, note=f"±{number(limit)}"))
    spec = pair.spec
    figure = attribution_grid(
        [MapRow(title=METHODS[wish.request.method].title, cells=cells)],
        [*pair.labels, *(["A − B"] if same else [])],
        image=image_link(pair),
        size=(spec.height, spec.width),
        opacity=1.0,
        scale_words=(t("compare.scale_low"), "0", t("compare.scale_high")),
        place_words=t("compare.place", row="%{y:.0f}", column="%{x:.0f}"),
        cell_height=190,
    )
    st.plotly_chart(figure, config=PLOTLY_CONFIG, key="compare_mean_maps", alt=t("compare.mean_alt", n=len(wish.indices)))
    st.caption(t("compare.mean_read", n=len(wish.indices)))


def _influence(pair: Pair, wish: _Wish, found: _Cohorts) -> None:
    if found.a.maps.shape != found.b.maps.shape:
        st.info(t("compare.other_size"), icon=":material/info:")
        return
    answer = influence(found.a, found.b, found.second)
    st.markdown(f"**{t('compare.influence_title')}** {t(f'compare.influence_{answer.verdict}', n=len(wish.indices), least=FEWEST)}")
    lines = [t("compare.influence_pair", **_alike(answer.networks))]
    if answer.seeds is not None and wish.second is not None:
        lines.append(t("compare.influence_seeds", name=wish.second.name, **_alike(answer.seeds)))
    st.markdown("\n".join(f"- {line}" for line in lines))
    if answer.seeds is None:
        link_to("train", label=t("compare.train_seed"))


def _alike(found: Agreement) -> dict[str, str]:
    return {"rank": written(found.rank), "top": written(found.top)}


def written(found: Interval) -> str:
    """`0.41 (0.38 to 0.44)`; the mean alone where there are too few images for an interval."""
    if math.isnan(found.low):
        return number(found.value, 2)
    return t("compare.interval", value=number(found.value, 2), low=number(found.low, 2), high=number(found.high, 2))


def _figures(pair: Pair, found: _Cohorts) -> None:
    gaps = figure_gaps(found.a, found.b)
    rows = [
        {
            t("compare.figure"): t(f"compare.figure_{name}"),
            pair.labels[0]: written(found.a.figures[name]),
            pair.labels[1]: written(found.b.figures[name]),
            "B − A": _marked(gaps[name]),
        }
        for name in SHOWN_FIGURES
        if name in gaps
    ]
    if rows:
        st.table(pd.DataFrame(rows).set_index(t("compare.figure")), border="horizontal")
        st.caption(t("compare.figures_read"))


def _marked(gap: Interval) -> str:
    """In bold where the interval leaves out 0."""
    text = written(gap)
    return f"**{text}**" if gap.low > 0 or gap.high < 0 else text


def _download(pair: Pair, wish: _Wish, found: _Cohorts) -> None:
    cohorts: dict[str, Cohort] = {f"A {pair.a.name}": found.a, f"B {pair.b.name}": found.b}
    if found.second is not None and wish.second is not None:
        cohorts[f"A2 {wish.second.name}"] = found.second
    st.download_button(
        t("compare.many_csv"),
        data=lambda: _csv(cohorts),
        file_name=f"{wish.request.method}-{pair.a.name}-{pair.b.name}.csv".replace("/", "_"),
        mime="text/csv",
        icon=":material/download:",
        key="compare_many_csv",
        on_click="ignore",
    )


def _csv(cohorts: Mapping[str, Cohort]) -> bytes:
    return to_csv(cohorts).encode()
