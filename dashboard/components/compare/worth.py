"""Is the map worth anything? Figures for both networks, pixels taken away and given back, and the check with random weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.charts.attributions import MapCell, MapRow, attribution_grid
from dashboard.charts.quality import QualityLine, likeness_lines, pixel_curves
from dashboard.charts.theme import PLOTLY_CONFIG, REFERENCE, NetworkStyle, symmetric_limit
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.data import Answered
from dashboard.components.compare.maps import Request, image_link, image_of, in_one, references_of, seconds_of_passes, traits
from dashboard.components.compare.pair import SIDES, Pair
from dashboard.components.formats import number, percent
from dashboard.components.names import network_label, part_word
from dashboard.components.vega import show_vega
from dashboard.i18n import t
from dashboard.loading import own_model, settled_model
from resnet_core.attribution import (
    METHODS,
    Attribution,
    Passes,
    Quality,
    QualitySettings,
    SanityCheck,
    assess,
    check_randomised,
    quality_cost,
    sanity_cost,
)
from resnet_core.attribution.sanity import parts_of

SETTLED_ON = 64  # images whose statistics the BatchNorms of random parts get
STEPS = 1000  # of the progress bar
EDGES, RANDOM = NetworkStyle(color=REFERENCE, dash=(6, 3)), NetworkStyle(color=REFERENCE, dash=(1, 3))


@dataclass(frozen=True, kw_only=True)
class Worth:
    """Of one network's map."""

    quality: Quality
    sanity: SanityCheck


def worth_view(pair: Pair, answered: Answered, shown: Shown) -> None:
    if not shown:
        st.info(t("compare.no_methods"), icon=":material/info:")
        return
    names = [request.method for request, _ in shown]
    if st.session_state.get("compare_worth_method") not in names:
        st.session_state["compare_worth_method"] = names[0]
    chosen = st.segmented_control(
        t("compare.worth_of"), names, format_func=lambda name: METHODS[name].title, required=True, key="compare_worth_method"
    )
    request, both = shown[names.index(chosen)]
    found = background_job(
        "compare_worth",
        *pair.states,
        str(pair.image),
        request.identity,
        prepare=lambda: _work(pair, request, both),
        label=t("compare.worth_start", method=METHODS[chosen].title),
        seconds=_seconds(pair, answered, request),
        key="compare_worth",
    )
    if found is None:
        st.caption(t("compare.worth_what"))
        return
    _figures(pair, found)
    _curves(pair, found)
    _randomised(pair, found)


# -- measuring --------------------------------------------------------------------------------------------------------------------


def _seconds(pair: Pair, answered: Answered, request: Request) -> float:
    method, total = METHODS[request.method], 0.0
    for place, checkpoint in enumerate(pair.checkpoints):
        about = (method, request.cheapest, checkpoint.spec, traits(checkpoint))
        quality = quality_cost(about[0], about[1], QualitySettings(), about[2], about[3])
        sanity = sanity_cost(*about, parts=len(parts_of(own_model(checkpoint))), settled_on=SETTLED_ON)
        passes = Passes(forward=quality.forward + sanity.forward, backward=quality.backward + sanity.backward)
        total += seconds_of_passes(answered, place, passes)
    return total


def _work(pair: Pair, request: Request, both: tuple[Attribution, Attribution]) -> Work:
    given = [(c, settled_model(c), image_of(pair, place), references_of(pair, place)) for place, c in enumerate(pair.checkpoints)]

    def work(progress: Progress) -> list[Worth]:
        found = []
        for place, (checkpoint, model, image, others) in enumerate(given):

            def part(number: int, start: int = 2 * place) -> Progress:
                return lambda done, total: progress(round(STEPS * (start + number + done / max(total, 1))), 4 * STEPS)

            name = network_label(checkpoint.model_name)
            (quality,) = assess(model, image, checkpoint.spec, [both[place]], references=others, progress=part(0), name=name)
            sanity = check_randomised(
                model,
                image,
                checkpoint.spec,
                request.method,
                request.settings,
                settle_on=others[:SETTLED_ON],
                target=request.target,
                references=others,
                progress=part(1),
                name=name,
            )
            found.append(Worth(quality=quality, sanity=sanity))
        return found

    return work


# -- showing ----------------------------------------------------------------------------------------------------------------------


def _figures(pair: Pair, found: Sequence[Worth]) -> None:
    rows = []
    for label, one in zip(pair.labels, found, strict=True):
        quality, first, last = one.quality, one.sanity.steps[0], one.sanity.steps[-1]
        rows.append(
            {
                t("compare.network"): label,
                t("compare.completeness"): percent(quality.completeness_error, 1),
                t("compare.infidelity"): f"{number(quality.infidelity)} ({percent(quality.unexplained, 0)})",
                t("compare.sensitivity"): number(quality.sensitivity, 2),
                t("compare.deletion"): _three(quality, "deletion_area"),
                t("compare.insertion"): _three(quality, "insertion_area"),
                t("compare.head_random"): f"{number(first.signed, 2)} / {number(first.absolute, 2)}",
                t("compare.all_random"): f"{number(last.signed, 2)} / {number(last.absolute, 2)}",
            }
        )
    with st.container(key="compare_worth_figures"):
        st.table(pd.DataFrame(rows).set_index(t("compare.network")), border="horizontal")
    for side, one in zip(SIDES, found, strict=True):
        st.markdown(f"**{side}**: {t(f'compare.quality_{one.quality.verdict}')} {t(f'compare.sanity_{one.sanity.verdict}')}")
    st.caption(t("compare.worth_read"))


def _three(quality: Quality, area: str) -> str:
    """The map's, the edge detector's, that of random pixels."""
    return " / ".join(f"{getattr(curves, area):.2f}" for curves in (quality.own, quality.edges, quality.random))


def _curves(pair: Pair, found: Sequence[Worth]) -> None:
    for column, kind in zip(st.columns(2, gap="medium"), ("deletion", "insertion"), strict=True):
        lines = [
            QualityLine(name=label, style=style, values=getattr(one.quality.own, kind))
            for label, style, one in zip(pair.labels, pair.styles, found, strict=True)
        ]
        lines += [
            QualityLine(name=t("compare.edges_of", network=SIDES[0]), style=EDGES, values=getattr(found[0].quality.edges, kind)),
            QualityLine(name=t("compare.random_of", network=SIDES[0]), style=RANDOM, values=getattr(found[0].quality.random, kind)),
        ]
        with column:
            chart = pixel_curves(lines, x_title=t(f"compare.{kind}_axis"), y_title=t("compare.probability_axis"))
            show_vega(chart, key=f"compare_{kind}", alt=t(f"compare.{kind}_alt"))
            st.caption(t(f"compare.{kind}_read"))


def _randomised(pair: Pair, found: Sequence[Worth]) -> None:
    """The maps as more and more of the network is random, and how much of them stays."""
    steps = found[0].sanity.steps
    same = [step.part for step in steps] == [step.part for step in found[1].sanity.steps]
    strip, lines = st.columns([2, 1], gap="medium")
    with strip:
        rows = []
        for label, one in zip(pair.labels, found, strict=True):
            maps = [one.sanity.maps[0], *(step.maps[0] for step in one.sanity.steps)]
            cells = []
            for place, values in enumerate(in_one(m, None) for m in maps):
                note = (
                    ""
                    if place == 0
                    else f"{number(one.sanity.steps[place - 1].signed, 2)} / {number(one.sanity.steps[place - 1].absolute, 2)}"
                )
                cells.append(MapCell(values=values, limit=symmetric_limit([values]), note=note))
            rows.append(MapRow(title=label, cells=cells))
        spec = pair.spec
        # Networks of other parts have a strip each: a column stands for one part.
        for place, group in enumerate([rows] if same else [[row] for row in rows]):
            figure = attribution_grid(
                group,
                [t("compare.whole_network"), *(part_word(step.part) for step in found[place].sanity.steps)],
                image=image_link(pair),
                size=(spec.height, spec.width),
                opacity=1.0,
                scale_words=(t("compare.scale_low"), "0", t("compare.scale_high")),
                place_words=t("compare.place", row="%{y:.0f}", column="%{x:.0f}"),
            )
            st.plotly_chart(figure, config=PLOTLY_CONFIG, key=f"compare_sanity_strip_{place}", alt=t("compare.sanity_alt"))
    with lines:
        if same:
            shown = []
            for label, style, one in zip(pair.labels, pair.styles, found, strict=True):
                for kind, dash in (("signed", style.dash), ("absolute", (2, 3) if not style.dash else (1, 4))):
                    look = NetworkStyle(color=style.color, dash=dash)
                    shown.append(
                        QualityLine(
                            name=t(f"compare.{kind}_of", network=label),
                            style=look,
                            values=[1.0, *(getattr(s, kind) for s in one.sanity.steps)],
                        )
                    )
            chart = likeness_lines(
                shown,
                [t("compare.none_random"), *(part_word(step.part) for step in steps)],
                x_title=t("compare.random_axis"),
                y_title=t("compare.likeness_axis"),
                height=260,
            )
            show_vega(chart, key="compare_sanity_lines", alt=t("compare.sanity_lines_alt"))
    st.caption(t("compare.sanity_read"))
