"""Why a network says what it says of this drawing: without one part of it, block by block, and where it looked."""

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from PIL import Image

from dashboard.charts.attributions import MapCell, MapRow, attribution_grid
from dashboard.charts.decision import Reading, reading_bars
from dashboard.charts.erasing import probability_table
from dashboard.charts.theme import PLOTLY_CONFIG, network_style, symmetric_limit
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.formats import number
from dashboard.components.names import block_label, network_label, short_block
from dashboard.components.sketch.pictures import show_pixels
from dashboard.components.sketch.sources import Given
from dashboard.components.sketch.words import percent_said
from dashboard.components.vega import show_vega
from dashboard.i18n import error_text, t
from dashboard.loading import file_state, has_blocks, leave_cores_to_trainings, open_checkpoint, settled_model
from dashboard.measuring import PROBE_IMAGES, probe_images, seconds_per_image
from dashboard.memory import tidied
from resnet_core.attribution import METHODS, Attribution, attribute, cost_of, offered, settings_of, traits_of
from resnet_core.data import Split
from resnet_core.data.erasing import Erased, erasures
from resnet_core.data.sketch import Pixels, prepare_sketch
from resnet_core.errors import UserError
from resnet_core.familiarity import fitted
from resnet_core.inspection import Probe, decisions, fit_probes
from resnet_core.prediction import Opinion, ask
from resnet_core.runs import Checkpoint

SMALL = 4  # screen pixels per pixel of a picture
LINKED = 336  # px, side of the drawing under a map
FIRST_METHODS = ("saliency", "integrated_gradients", "layer_grad_cam")
MOST_METHODS = 4
AT_ONCE = 4.0  # seconds: what costs more waits for a click
BACKWARD = 2.0  # what a backward pass costs, in forward passes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The network that is asked why, its answer to the whole drawing, and the class that is asked about."""

    checkpoint: Checkpoint
    label: str
    opinion: Opinion
    target: int

    @property
    def class_name(self) -> str:
        return self.opinion.classes[self.target]


def show_why(given: Given, networks: Mapping[str, str]) -> None:
    st.subheader(t("sketch.why_title"), anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        view = st.segmented_control(
            t("sketch.why_view"), list(VIEWS), format_func=lambda name: t(f"sketch.why_{name}"), default="erase", required=True,
            key="sketch_why", persist_state="session",
        )  # fmt: skip
        asked = _asked(given, networks)
    if asked is not None:
        try:
            VIEWS[view or "erase"](given, asked)
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")


def _asked(given: Given, networks: Mapping[str, str]) -> Asked | None:
    name = st.selectbox(
        t("sketch.why_network"), list(networks), format_func=lambda name: networks.get(name, name), key="sketch_why_network", width=240
    )
    if name is None:
        return None
    try:
        checkpoint = open_checkpoint(name)
        opinion = ask(checkpoint, settled_model(checkpoint), given.sketch.image)
    except UserError:  # said above, where its answer would be
        return None
    answer = int(opinion.probabilities.argmax())
    options = [None, *range(len(opinion.classes))]
    if st.session_state.get("sketch_why_class") not in options:
        st.session_state.pop("sketch_why_class")
    target = st.selectbox(
        t("sketch.why_class"), options, key="sketch_why_class", width=220,
        format_func=lambda k: t("sketch.why_answer") if k is None else opinion.classes[k], placeholder=t("sketch.why_answer"),
    )  # fmt: skip
    return Asked(checkpoint=checkpoint, label=networks[name], opinion=opinion, target=answer if target is None else target)


# -- without one part -------------------------------------------------------------------------------------------------------------


def _without_parts(given: Given, asked: Asked) -> None:
    found = erasures(given.sketch.ink, given.lines)
    if not found:
        return
    names, table = [t("sketch.whole")], [asked.opinion.probabilities]
    model = settled_model(asked.checkpoint)
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(horizontal=True, gap="small"):
        for one in found:
            sketch = prepare_sketch(one.ink)
            name = _part_name(one)
            with st.container(width=SMALL * 28, gap="xsmall"):
                show_pixels(sketch.image, factor=SMALL, alt=name)
                if sketch.empty:
                    st.caption(f"{name}{t('sketch.colon')}{t('sketch.nothing_left')}")
                    continue
                opinion = ask(asked.checkpoint, model, sketch.image)
                names.append(name)
                table.append(opinion.probabilities)
                said = t("sketch.would_be", answer=opinion.answer, probability=percent_said(float(opinion.probabilities.max())))
                st.caption(f"{name}{t('sketch.colon')}{said}")
    with right:
        chart = probability_table(
            names,
            asked.opinion.classes,
            table,
            color=network_style(asked.checkpoint.model_name).color,
            x_title=t("sketch.class"),
            y_title="",
            value_title=t("sketch.probability"),
        )
        show_vega(chart, alt=t("sketch.erase_alt", network=asked.label))
    st.caption(" ".join([t("sketch.erase_read", network=asked.label), _needed(asked, names, table)]))


def _part_name(one: Erased) -> str:
    if one.kind == "band":
        return t(("sketch.without_top", "sketch.without_middle", "sketch.without_bottom")[one.number - 1])
    if one.kind == "third":
        return t(("sketch.without_start", "sketch.without_halfway", "sketch.without_end")[one.number - 1])
    return t("sketch.without_stroke" if one.kind == "stroke" else "sketch.without_piece", number=one.number)


def _needed(asked: Asked, names: list[str], table: list[np.ndarray]) -> str:
    """Which part the class needs most."""
    if len(table) < 2:
        return ""
    falls = [float(table[0][asked.target] - values[asked.target]) for values in table[1:]]
    most = int(np.argmax(falls))
    if falls[most] < 0.01:
        return t("sketch.erase_none", answer=asked.class_name)
    before, after = (percent_said(float(values[asked.target])) for values in (table[0], table[1:][most]))
    return t("sketch.erase_most", part=names[1:][most], answer=asked.class_name, before=before, after=after)


# -- block by block ---------------------------------------------------------------------------------------------------------------


def _block_by_block(given: Given, asked: Asked) -> None:
    checkpoint = asked.checkpoint
    if not has_blocks(checkpoint):
        raise UserError("no_blocks", name=asked.label)
    probes = background_job(
        "sketch_probes", file_state(checkpoint),
        prepare=lambda: _probing(checkpoint),
        label=t("sketch.probes_start", count=PROBE_IMAGES),
        seconds=seconds_per_image(checkpoint) * PROBE_IMAGES,
        key="sketch_probes_start",
    )  # fmt: skip
    if probes is None:
        st.caption(t("decision.what"))
        return
    _draw_blocks(given, asked, probes)


def _probing(checkpoint: Checkpoint) -> Work:
    model, images = settled_model(checkpoint), probe_images(checkpoint)
    return lambda progress: fit_probes(model, images, checkpoint.spec, progress=progress)


def _draw_blocks(given: Given, asked: Asked, probes: Mapping[str, Probe]) -> None:
    checkpoint, classes = asked.checkpoint, asked.opinion.classes
    image = fitted(torch.from_numpy(given.sketch.image)[None, None], checkpoint.spec)
    report = decisions(settled_model(checkpoint), Split(images=image, labels=torch.tensor([asked.target])), checkpoint.spec, probes)
    answers = report.answers[0]
    decided = report.blocks[int(report.decided[0])].name
    readings = [
        Reading(
            block=short_block(block.name),
            method=t(f"decision.{block.method}"),
            probability=float(report.probabilities[0, place, asked.target]),
            answer=classes[int(answers[place])],
        )
        for place, block in enumerate(report.blocks)
    ]
    chart = reading_bars(
        readings,
        faint=t("decision.probe"),
        decided=short_block(decided),
        style=network_style(checkpoint.model_name),
        x_title=t("decision.block_axis"),
        y_title=t("sketch.block_probability", name=asked.class_name),
        answer_title=t("decision.answer"),
        method_title=t("decision.method"),
    )
    show_vega(chart, key="sketch_blocks", alt=t("decision.image_alt", network=network_label(checkpoint.model_name)))
    st.caption(
        t("sketch.blocks_read", network=asked.label, answer=classes[int(answers[-1])], block=block_label(decided), name=asked.class_name)
    )
    st.caption(t("decision.approximate", training=PROBE_IMAGES))


# -- where it looked --------------------------------------------------------------------------------------------------------------


def _where_it_looked(given: Given, asked: Asked) -> None:
    checkpoint = asked.checkpoint
    methods = _pick_methods(checkpoint)
    cells, titles = [], []
    for name in methods:
        found = _map(given, asked, name)
        if found is None:
            continue
        values = found.map.sum(0)
        limit = symmetric_limit([values])
        titles.append(f"{METHODS[name].title}<br>±{number(limit)}")
        cells.append(MapCell(values=values, limit=limit))
    if cells:
        figure = attribution_grid(
            [MapRow(title=asked.label, cells=cells)],
            titles,
            image=_link(given.sketch.image),
            size=(checkpoint.spec.height, checkpoint.spec.width),
            opacity=0.75,
            scale_words=(t("compare.scale_low"), "0", t("compare.scale_high")),
            place_words=t("compare.place", row="%{y:.0f}", column="%{x:.0f}"),
            image_title=t("sketch.prepared_title"),
            cell_height=210,
        )
        st.plotly_chart(
            figure, config=PLOTLY_CONFIG, key="sketch_maps", alt=t("sketch.maps_alt", network=asked.label, name=asked.class_name)
        )
        st.caption(t("sketch.maps_read", network=asked.label, name=asked.class_name))
        st.caption("  \n".join(f"**{METHODS[name].title}**{t('sketch.colon')}{t(f'method.{name}.meaning')}" for name in methods))


def _pick_methods(checkpoint: Checkpoint) -> list[str]:
    model = settled_model(checkpoint)
    traits = traits_of(model, checkpoint.spec)
    sound = [name for name, error in offered(traits, checkpoint.name).items() if error is None]
    chosen = st.multiselect(
        t("compare.methods"), sound, default=[name for name in FIRST_METHODS if name in sound],
        format_func=lambda name: METHODS[name].title, max_selections=MOST_METHODS, key="sketch_methods",
        help=t("compare.methods_help", most=MOST_METHODS), persist_state="session",
    )  # fmt: skip
    return [name for name in METHODS if name in chosen]


def _map(given: Given, asked: Asked, method: str) -> Attribution | None:
    """At once where that is quick, else after a click and with a way to stop it."""
    checkpoint, picture = asked.checkpoint, given.sketch.image
    identity = ("sketch_map", file_state(checkpoint), hashlib.sha256(picture.tobytes()).hexdigest(), method, asked.target)
    seconds = _seconds(checkpoint, method)
    if seconds <= AT_ONCE:
        return _quick_map(identity, checkpoint, picture, method, asked.target)
    found: Attribution | None = background_job(
        *identity,
        prepare=lambda: _mapping(checkpoint, picture, method, asked.target),
        label=t("compare.map_start", method=METHODS[method].title),
        seconds=seconds,
        key=f"sketch_map_{method}",
    )
    return found


def _seconds(checkpoint: Checkpoint, method: str) -> float:
    model = settled_model(checkpoint)
    cost = cost_of(METHODS[method], settings_of(METHODS[method], None), checkpoint.spec, traits_of(model, checkpoint.spec))
    return (cost.forward + BACKWARD * cost.backward) * seconds_per_image(checkpoint)


def _mapping(checkpoint: Checkpoint, picture: Pixels, method: str, target: int) -> Work:
    model = settled_model(checkpoint)
    image = fitted(torch.from_numpy(picture)[None, None], checkpoint.spec)

    def work(progress: Progress) -> Attribution:
        leave_cores_to_trainings()
        return attribute(model, image, checkpoint.spec, method, target=target, progress=progress, name=checkpoint.name)[0]

    return work


@st.cache_data(max_entries=64, show_spinner=False)
@tidied
def _quick_map(identity: tuple[object, ...], _checkpoint: Checkpoint, _picture: Pixels, _method: str, _target: int) -> Attribution:
    found: Attribution = _mapping(_checkpoint, _picture, _method, _target)(lambda done, total: None)
    return found


def _link(image: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(image).resize((LINKED, LINKED), Image.Resampling.NEAREST).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


VIEWS: dict[str, Callable[[Given, Asked], None]] = {"erase": _without_parts, "blocks": _block_by_block, "maps": _where_it_looked}
