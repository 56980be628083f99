"""The Sketch page without a browser: a drawing or a test image in, what the networks say out."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from dashboard.charts.bars import shades
from dashboard.components.sketch.journey import STEPS
from dashboard.i18n import sentences
from dashboard.sketch_input import Drawing
from resnet_core.config import DataConfig
from resnet_core.data import load_split
from resnet_core.data.sketch import prepare_sketch
from resnet_core.prediction import ask
from resnet_core.runs import Store, find_checkpoint, load_model
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.sketch.drawing import DRAWN, SEVEN, add_run, charts, picture, said


@pytest.mark.usefixtures("networks")
def test_an_empty_canvas_asks_for_a_drawing(open_page: OpenPage, language: str) -> None:
    app = open_page("sketch", language=language)
    assert_healthy(app)
    assert app.subheader[0].value == sentences(language)["sketch.draw_something"]
    assert sentences(language)["sketch.journey_waiting"] in said(app)
    assert charts(app) == 0


@pytest.mark.usefixtures("shipped")
def test_without_any_network_one_sentence_leads_to_train(open_page: OpenPage, draw: Callable[[Drawing], None], language: str) -> None:
    draw(DRAWN)
    app = open_page("sketch", language=language)
    assert_healthy(app)
    assert app.info[0].value == sentences(language)["sketch.no_networks"]
    assert not app.multiselect
    assert charts(app) == 0


def test_a_drawing_shows_what_the_networks_say_themselves(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str], language: str
) -> None:
    draw(DRAWN)
    app = open_page("sketch", language=language)
    assert_healthy(app)
    assert app.multiselect(key="sketch_networks").value == [networks["My ResNet"], networks["My plain one"]]
    image = prepare_sketch(np.asarray(picture(SEVEN))).image
    for name, run in networks.items():
        checkpoint = find_checkpoint(run)
        probabilities = ask(checkpoint, load_model(checkpoint), image).probabilities
        sentence = sentences(language)["sketch.says"]
        assert sentence.format(network=name, answer=probabilities.argmax(), probability=f"{probabilities.max():.1%}") in said(app)
    assert charts(app) == 1
    for name in ("drawn", "cropped", "scaled", "centred"):
        assert sentences(language)[STEPS[name].reason] in said(app)


def test_a_network_for_colour_images_is_not_offered_and_refused_when_a_link_names_it(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str], language: str
) -> None:
    draw(DRAWN)
    colour = add_run("resnet8", "cifar10", "In colour")
    assert colour not in open_page("sketch", language=language).multiselect(key="sketch_networks").options
    app = open_page("sketch", language=language, run=colour)
    app.multiselect(key="sketch_networks").set_value([colour, networks["My ResNet"]]).run()
    assert_healthy(app)
    assert [error.value for error in app.error] == [sentences(language)["error.checkpoint_channels"].format(name=colour, have=3, need=1)]
    assert "My ResNet" in said(app)
    assert charts(app) == 1


def test_a_damaged_network_says_so_and_the_others_answer(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str]
) -> None:
    draw(DRAWN)
    Store().run(networks["My ResNet"]).folder.joinpath("last.safetensors").write_bytes(b"not weights")
    app = open_page("sketch")
    assert_healthy(app)
    assert len(app.error) == 1
    assert "is damaged" in app.error[0].value
    assert "My plain one" in said(app)
    assert charts(app) == 1


def test_networks_of_other_classes_are_asked_apart(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str]
) -> None:
    draw(DRAWN)
    clothes = add_run("resnet8", "fashion-mnist", "Clothes")
    app = open_page("sketch", run=clothes)
    app.multiselect(key="sketch_networks").set_value([*networks.values(), clothes]).run()
    assert_healthy(app)
    assert charts(app) == 2


@pytest.mark.usefixtures("networks")
def test_a_test_image_is_shown_as_it_is_and_chosen_for_all_pages(open_page: OpenPage, language: str) -> None:
    app = open_page("sketch", language=language)
    app.segmented_control(key="sketch_source").set_value("test").run()
    app.number_input(key="sketch_image").set_value(12).run()
    assert_healthy(app)
    _, images = load_split(DataConfig(dataset="mnist-mini"), "test")
    assert sentences(language)["sketch.image_label"].format(label=int(images.labels[12])) in said(app)
    assert sentences(language)["sketch.journey_unchanged"] in said(app)
    assert app.session_state["selected_image"] == "mnist-mini:test:12"
    assert charts(app) == 1


@pytest.mark.usefixtures("networks")
def test_another_test_image_is_another_choice(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.randint", lambda low, high: 4321)
    app = open_page("sketch")
    app.segmented_control(key="sketch_source").set_value("test").run()
    assert app.session_state["selected_image"] == "mnist-mini:test:0"
    app.button(key="sketch_another").click().run()
    assert_healthy(app)
    index = app.number_input(key="sketch_image").value
    assert index == 4321
    assert app.session_state["selected_image"] == f"mnist-mini:test:{index}"


@pytest.mark.usefixtures("networks")
def test_the_image_of_a_link_is_the_test_image(open_page: OpenPage) -> None:
    app = open_page("sketch", image="mnist:test:345")
    app.segmented_control(key="sketch_source").set_value("test").run()
    assert app.number_input(key="sketch_image").value == 345


def test_preparing_leaves_the_official_test_images_as_they_are() -> None:
    _, images = load_split(DataConfig(dataset="mnist-mini"), "test")
    for image in images.images[:300, 0].numpy():
        assert np.array_equal(prepare_sketch(image).image, image)


def test_networks_of_a_kind_have_shades_of_their_colour() -> None:
    found = shades(["#2E86C9", "#DD6B20", "#2E86C9", "#2E86C9"])
    assert found[:2] == ["#2E86C9", "#DD6B20"]
    assert len(set(found)) == 4
    lightness = [sum(int(color[start : start + 2], 16) for start in (1, 3, 5)) for color in found]
    assert lightness[3] < lightness[0] < lightness[2]
