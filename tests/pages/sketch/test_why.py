"""Why the answer: without each stroke, block by block, as maps; and what looks like no digit."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dashboard.i18n import sentences
from dashboard.sketch_input import Drawing
from resnet_core import familiarity
from resnet_core.data.sketch import prepare_sketch
from resnet_core.familiarity import Familiarity
from resnet_core.prediction import ask
from resnet_core.runs import find_checkpoint, load_model
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.sketch.drawing import DRAWN, SEVEN, as_file, charts, fabric, picture, said

PLUS = (((60, 140), (220, 140)), ((140, 40), (140, 250)))


def test_without_each_stroke_the_page_says_what_the_network_says_of_the_rest(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str], language: str
) -> None:
    draw(Drawing(strokes=fabric(*PLUS), png=as_file(picture(*PLUS))))
    app = open_page("sketch", language=language)
    assert_healthy(app)
    checkpoint = find_checkpoint(networks["My ResNet"])
    for number, other in ((1, PLUS[1]), (2, PLUS[0])):
        opinion = ask(checkpoint, load_model(checkpoint), prepare_sketch(np.asarray(picture(other))).image)
        begin = sentences(language)["sketch.without_stroke"].format(number=number)
        (found,) = [element.value for element in app.caption if element.value.startswith(begin + sentences(language)["sketch.colon"])]
        assert opinion.answer in found.removeprefix(begin)


@pytest.mark.usefixtures("own_runs")
@pytest.mark.parametrize("view", ["blocks", "maps"])
def test_blocks_wait_for_a_click_and_maps_are_drawn(open_page: OpenPage, draw: Callable[[Drawing], None], view: str, language: str) -> None:
    draw(Drawing(strokes=fabric(SEVEN), png=as_file(picture(SEVEN))))
    app = open_page("sketch", language=language)
    app.segmented_control(key="sketch_why").set_value(view).run()
    assert_healthy(app)
    assert not app.error
    if view == "blocks":
        assert app.button(key="sketch_probes_start")
    else:
        assert len(app.get("plotly_chart")) == 1
        assert sentences(language)["method.layer_grad_cam.meaning"] in said(app)


@pytest.mark.usefixtures("own_runs")
def test_all_white_does_not_look_like_a_digit_to_the_shipped_networks(
    open_page: OpenPage, draw: Callable[[Drawing], None], monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    for name, value in (("REFERENCES", 2000), ("CALIBRATION", 1000)):  # as what they come with was learnt
        monkeypatch.setattr(f"resnet_core.familiarity.{name}", value)
    draw(Drawing(strokes=[{}], png=as_file(Image.new("RGB", (280, 280), "white"))))
    app = open_page("sketch", language=language)
    assert_healthy(app)
    assert app.subheader[0].value == sentences(language)["sketch.none"]
    assert f"T = {find_checkpoint('resnet20-mnist').metrics['temperature']:.2f}" in said(app)


@pytest.mark.usefixtures("networks")
def test_a_network_that_has_not_looked_at_digits_yet_says_so(
    open_page: OpenPage, draw: Callable[[Drawing], None], monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    waiting, release = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Familiarity:
        waiting.set()
        release.wait(60)
        return learn(*arguments)

    learn = familiarity.learn
    monkeypatch.setattr(familiarity, "learn", slow)
    monkeypatch.setattr(familiarity, "kept_familiarity", lambda checkpoint: None)
    monkeypatch.setattr("dashboard.components.sketch.networks.kept_familiarity", lambda checkpoint: None)
    draw(DRAWN)
    app = open_page("sketch", language=language)
    assert waiting.wait(60)
    try:
        assert_healthy(app)
        assert charts(app) == 1  # the answers are there already
        sentence = sentences(language)["sketch.learning"]
        assert any(caption.value.startswith(sentence[:12]) for caption in app.caption)
    finally:
        release.set()
