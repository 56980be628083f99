"""What each network looks at: attribution maps of the same image for the same class, by the same methods with the same settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from dashboard.charts.attributions import MapCell, MapRow, attribution_grid
from dashboard.charts.theme import PLOTLY_CONFIG, empty_figure, symmetric_limit
from dashboard.components.background_job import background_job, finished_job
from dashboard.components.compare.data import Answered, pair_probabilities
from dashboard.components.compare.exports import as_npz, as_png
from dashboard.components.compare.maps import (
    DEFAULT_METHODS,
    Request,
    image_link,
    in_one,
    map_of,
    pair_work,
    seconds_of,
    sound_methods,
    traits,
)
from dashboard.components.compare.pair import SIDES, Pair
from dashboard.components.formats import number, percent
from dashboard.components.names import network_label, short_block
from dashboard.forms import setting_widget
from dashboard.i18n import error_text, t
from resnet_core.attribution import METHODS, Attribution, overlap, spearman
from resnet_core.config import Config
from resnet_core.errors import UserError

MOST_METHODS = 4
PLACE = 420  # px
AT_ONCE = 5.0  # seconds: a map that costs more waits for a click
LABEL, SAID_A, SAID_B = "label", "a", "b"
SIGNS = ("both", "positive", "negative")
SCALES = ("shared", "own")
FIRST_SETTINGS = ("smooth", "smooth_noise", "smooth_kind")  # shown after a method's own
Found = tuple[Attribution, Attribution]
Shown = Sequence[tuple[Request, Found]]  # what the page shows of each method, A's map first


@dataclass(frozen=True, kw_only=True)
class View:
    """How maps are drawn. `opacity` 1 is the map alone; `channel` None adds all channels up."""

    opacity: float
    sign: str
    scale: str
    channel: int | None
    difference: bool

    def of(self, found: Attribution) -> NDArray[np.floating]:
        values = in_one(found.map, self.channel)
        if self.sign == "positive":
            return values.clip(min=0)
        return values.clip(max=0) if self.sign == "negative" else values


def keep_place_of_maps() -> DeltaGenerator:
    """An empty figure where the maps will stand, when they are shown for the first time in a session; the caller empties it."""
    place = st.empty()
    if "compare_seen" not in st.session_state:
        st.session_state["compare_seen"] = True
        place.plotly_chart(empty_figure(height=PLACE), config=PLOTLY_CONFIG, key="compare_place")
    return place


def attribution_view(pair: Pair, answered: Answered) -> Shown:
    """Draws the controls and the maps; returns what is shown, for the panels below."""
    sound, others = sound_methods(pair)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        methods = _methods(sound)
        target = _target(pair)
        requests = _settings(pair, methods, target)
    maps, below = st.container(), st.container(horizontal=True, gap="small", vertical_alignment="center")
    with below:  # how they are drawn is asked for beneath them: above, three methods need the room
        view = _view(pair)
    found: list[tuple[Request, Found]] = []
    waiting: list[Request] = []
    for request in requests:
        if seconds_of(pair, answered, request) <= AT_ONCE:  # kept with the maps: jobs are few, and asking for one takes another's place
            found.append((request, (map_of(pair, 0, request), map_of(pair, 1, request))))
        elif (known := finished_job(*_identity(pair, request))) is not None:
            found.append((request, known))
        else:
            waiting.append(request)
    with maps:
        _draw(pair, found, view, target)
        for request in waiting:
            background_job(
                *_identity(pair, request),
                prepare=lambda request=request: pair_work(pair, request),  # type: ignore[misc]
                label=t("compare.map_start", method=METHODS[request.method].title),
                seconds=seconds_of(pair, answered, request),
                key=f"compare_map_{request.method}",
            )
        _downloads(pair, found, view)
    layered = [(request, both) for request, both in found if both[0].strip or both[1].strip]
    with below:
        _what_methods(found, others)
        every = bool(layered) and st.toggle(t("compare.strip"), key="compare_every_layer", persist_state="session")
    if every:
        _strips(pair, layered, view)
    return found


def _identity(pair: Pair, request: Request) -> tuple[object, ...]:
    return ("compare_map", *pair.states, str(pair.image), request.identity)


# -- what is asked ----------------------------------------------------------------------------------------------------------------


def _methods(sound: Sequence[str]) -> list[str]:
    key = "compare_methods"
    if key in st.session_state:
        st.session_state[key] = [name for name in st.session_state[key] if name in sound]
    chosen = st.multiselect(
        t("compare.methods"),
        sound,
        default=None if key in st.session_state else [name for name in DEFAULT_METHODS if name in sound],
        format_func=lambda name: METHODS[name].title,
        max_selections=MOST_METHODS,
        key=key,
        help=t("compare.methods_help", most=MOST_METHODS),
        persist_state="session",
        width="stretch",
    )
    return [name for name in METHODS if name in chosen]


def _target(pair: Pair) -> int:
    classes = pair.a.spec.classes
    label = int(pair.images(0).labels[pair.image.index])
    said = [int(pair_probabilities(pair, place).argmax()) for place in (0, 1)]
    named = {LABEL: label, SAID_A: said[0], SAID_B: said[1]}

    def in_words(option: str | int) -> str:
        return classes[option] if isinstance(option, int) else t(f"compare.target_{option}", name=classes[named[option]])

    options: list[str | int] = [*named, *range(len(classes))]
    if st.session_state.get("compare_target") not in (None, *options):
        st.session_state.pop("compare_target")
    chosen = st.selectbox(
        t("compare.target"),
        options,
        format_func=in_words,
        key="compare_target",
        help=t("compare.target_help"),
        persist_state="session",
        width=150,
    )
    return chosen if isinstance(chosen, int) else named[chosen]


def _settings(pair: Pair, methods: Sequence[str], target: int) -> list[Request]:
    """A request per method, from the widgets of its settings; wrong values are said and the defaults taken."""
    requests = []
    with st.popover(t("compare.settings"), icon=":material/tune:"):
        for name in methods:
            method = METHODS[name]
            st.markdown(f"**{method.title}**", help=f"{t(f'method.{name}.meaning')} {method.source}")
            values = {}
            own = [field for field in method.settings.settings() if field not in FIRST_SETTINGS]
            for start in range(0, len(own), 2):
                for column, field in zip(st.columns(2), own[start : start + 2], strict=False):
                    with column:
                        values[field] = _widget(pair, name, field)
            if st.toggle(t("compare.smoothed"), key=f"compare_{name}_smoothed", persist_state="session"):
                for column, field in zip(st.columns(3), FIRST_SETTINGS, strict=True):
                    with column:
                        values[field] = _widget(pair, name, field)
                values["smooth"] = values["smooth"] or 16
            requests.append(Request(method=name, settings=_valid(method.settings, values), target=target))
    return requests


def _valid(kind: type[Config], values: dict[str, object]) -> Config:
    """The widgets say what is wrong; until it is mended the method's defaults are shown."""
    try:
        return kind.from_dict(values)
    except UserError:
        return kind()


def _widget(pair: Pair, method: str, field: str) -> object:
    options = None
    if field == "layer":
        places = [
            traits(checkpoint).blocks if method == "layer_conductance" else traits(checkpoint).stages for checkpoint in pair.checkpoints
        ]
        options = ["last", *(place for place in places[0] if place in places[1])]
    default = 16 if field == "smooth" else None
    return setting_widget(field, f"compare_{method}_{field}", default, options=options, config=METHODS[method].settings)


def _view(pair: Pair) -> View:
    channels, colours = pair.spec.channels, ["all", *(str(number) for number in range(pair.spec.channels))]
    with st.popover(t("compare.look"), icon=":material/visibility:"):
        overlay = st.slider(t("compare.overlay"), 0, 100, 0, step=5, format="%d%%", key="compare_overlay", persist_state="session")
        scale = st.segmented_control(
            t("compare.scale"),
            SCALES,
            format_func=lambda option: t(f"compare.scale_{option}"),
            default="shared",
            required=True,
            key="compare_scale",
            persist_state="session",
        )
        sign = st.segmented_control(
            t("compare.sign"),
            SIGNS,
            format_func=lambda option: t(f"compare.sign_{option}"),
            default="both",
            required=True,
            key="compare_sign",
            persist_state="session",
        )
        channel = "all"
        if channels > 1:
            channel = st.segmented_control(
                t("compare.channel"),
                colours,
                format_func=lambda option: (
                    t("compare.channel_all") if option == "all" else t(f"compare.channel_{option}") if channels == 3 else option
                ),
                default="all",
                required=True,
                key="compare_channel",
                persist_state="session",
            )
        difference = st.toggle(t("compare.difference"), value=True, key="compare_difference", persist_state="session")
    return View(
        opacity=1 - overlay / 100, sign=sign, scale=scale, channel=None if channel == "all" else int(channel), difference=bool(difference)
    )


# -- what is shown ----------------------------------------------------------------------------------------------------------------


def _draw(pair: Pair, found: Shown, view: View, target: int) -> None:
    classes = pair.a.spec.classes
    titles, rows = [], [[], []]  # type: ignore[var-annotated]
    differences: list[MapCell] = []
    for request, both in found:
        values = [view.of(one) for one in both]
        shared = symmetric_limit(values)
        limits = [shared, shared] if view.scale == "shared" else [symmetric_limit([one]) for one in values]
        title = METHODS[request.method].title
        titles.append(f"{title}<br>±{number(shared)}" if view.scale == "shared" else title)
        for place in (0, 1):
            own = "" if view.scale == "shared" else f"±{number(limits[place])} · "
            rows[place].append(MapCell(values=values[place], limit=limits[place], note=own + _note(both[place])))
        differences.append(_difference(values, limits, both))
    names = [_row_title(pair, place, target) for place in (0, 1)]
    drawn = [MapRow(title=name, cells=cells) for name, cells in zip(names, rows, strict=True)]
    if view.difference and found:
        drawn.append(MapRow(title=t("compare.a_minus_b"), cells=differences))
    if not found:
        st.info(t("compare.no_methods"), icon=":material/info:")
        return
    spec = pair.spec
    figure = attribution_grid(
        drawn,
        titles,
        image=image_link(pair),
        size=(spec.height, spec.width),
        opacity=view.opacity,
        scale_words=(t("compare.scale_low"), "0", t("compare.scale_high")),
        place_words=t("compare.place", row="%{y:.0f}", column="%{x:.0f}"),
        image_title=t("compare.image_title", index=pair.image.index, label=classes[int(pair.images(0).labels[pair.image.index])]),
        cell_height=132 if len(drawn) == 3 else 190,
    )
    with st.container(key="compare_maps"):
        st.plotly_chart(
            figure,
            config=PLOTLY_CONFIG,
            key="compare_maps_chart",
            alt=t("compare.maps_alt", methods=", ".join(METHODS[request.method].title for request, _ in found), name=classes[target]),
        )


def _row_title(pair: Pair, place: int, target: int) -> str:
    """The network, what it says, and how probable it holds the class that is asked about."""
    probabilities, classes = pair_probabilities(pair, place), pair.a.spec.classes
    best = int(probabilities.argmax())
    said = t("compare.says", answer=classes[best], probability=percent(float(probabilities[best]), 1))
    if best != target:
        said += "<br>" + t("compare.gives", name=classes[target], probability=percent(float(probabilities[target]), 1))
    return f"<b>{SIDES[place]}</b> {network_label(pair.models[place])}<br>{said}"


def _note(found: Attribution) -> str:
    """Steps and completeness error, as far as the method has them."""
    parts = []
    if found.steps is not None and METHODS[found.method].complete is not None:
        parts.append(t("compare.steps", steps=found.steps))
    if found.completeness_error is not None:
        parts.append(t("compare.missing_share", error=percent(found.completeness_error, 1)))
    if not np.any(found.map):
        parts.append(t("compare.all_zero"))
    return " · ".join(parts)


def _difference(values: Sequence[NDArray[np.floating]], limits: Sequence[float], both: Found) -> MapCell:
    """A - B on the scale of both; maps on scales of their own are divided by them first."""
    a, b = values
    if a.shape != b.shape:
        return MapCell(values=None, limit=1.0, note=t("compare.other_size"))
    same = limits[0] == limits[1]
    difference = a - b if same else a / limits[0] - b / limits[1]
    likeness = t(
        "compare.likeness",
        rank=number(spearman(both[0].map, both[1].map), 2),
        overlap=percent(overlap(both[0].map, both[1].map), 0),
    )
    return MapCell(values=difference, limit=limits[0] if same else 1.0, note=likeness)


def _downloads(pair: Pair, found: Shown, view: View) -> None:
    """Of the maps, beside how to read them."""
    with st.container(horizontal=True, wrap=False, gap="small", vertical_alignment="center"):
        file = f"{pair.a.name}-{pair.b.name}-{pair.image.index}".replace("/", "_")
        for kind, make, mime in (("png", as_png, "image/png"), ("npz", as_npz, "application/octet-stream")):
            st.download_button(
                kind.upper(),
                data=lambda make=make: make(pair, found, view.opacity, view.channel),  # type: ignore[misc]
                file_name=f"{file}.{kind}",
                mime=mime,
                icon=":material/download:",
                help=t(f"compare.download_{kind}"),
                key=f"compare_{kind}",
                on_click="ignore",
                disabled=not found,
            )
        st.caption(f"{t('compare.maps_read')} {t(f'compare.scale_read_{view.scale}')}", width="stretch")


def _what_methods(found: Shown, others: dict[str, object]) -> None:
    """What each of them means, and which are not offered, and why."""
    notes = [f"**{METHODS[request.method].title}** {t(f'method.{request.method}.meaning')}" for request, _ in found]
    with st.popover(t("compare.what_methods"), icon=":material/menu_book:"):
        st.markdown("\n\n".join([*notes, *(f"**{METHODS[name].title}** {error_text(errors[0])}" for name, errors in others.items())]))  # type: ignore[index]


def _strips(pair: Pair, layered: Shown, view: View) -> None:
    """Every stage or block of a layer method beside each other."""
    for request, both in layered:
        names = list(dict.fromkeys(layer.name for one in both for layer in one.strip))
        maps = [{layer.name: layer.map for layer in one.strip} for one in both]
        rows = []
        for place in (0, 1):
            cells = []
            for name in names:
                values = maps[place].get(name)
                limit = symmetric_limit([found[name] for found in maps if name in found])
                cells.append(
                    MapCell(
                        values=values,
                        limit=limit,
                        note="" if values is None else f"±{number(limit)} · {values.shape[0]}×{values.shape[1]}",
                    )
                )
            rows.append(MapRow(title=pair.labels[place], cells=cells))
        spec = pair.spec
        figure = attribution_grid(
            rows,
            [_layer_label(name) for name in names],
            image=image_link(pair),
            size=(spec.height, spec.width),
            opacity=view.opacity,
            scale_words=(t("compare.scale_low"), "0", t("compare.scale_high")),
            place_words=t("compare.place", row="%{y:.0f}", column="%{x:.0f}"),
        )
        st.markdown(f"**{METHODS[request.method].title}**")
        st.plotly_chart(figure, config=PLOTLY_CONFIG, key=f"compare_strip_{request.method}", alt=t("compare.strip_alt"))
    st.caption(t("compare.strip_read"))


def _layer_label(name: str) -> str:
    """`stages.1` is stage 2, `stages.1.0` is 2.1; layers of other networks keep their name."""
    parts = name.split(".")
    if parts[0] == "stages" and len(parts) == 2:
        return t("compare.stage", number=int(parts[1]) + 1)
    return short_block(name) if parts[0] == "stages" and len(parts) == 3 else name
