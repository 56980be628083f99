"""The Sketch page without a browser: the canvas is patched, networks are as they are drawn from their seed."""

import io
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from dashboard import sketch_input
from dashboard.charts.bars import shades
from dashboard.components.sketch.journey import STEPS, step_numbers
from dashboard.i18n import sentences
from dashboard.sketch_input import Drawing
from resnet_core import familiarity
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import DATASETS, load_split
from resnet_core.data.photo import prepare_photo
from resnet_core.data.sketch import prepare_sketch
from resnet_core.data.sketches import keep_sketch, sketches
from resnet_core.familiarity import Familiarity
from resnet_core.models import build_model
from resnet_core.prediction import ask
from resnet_core.runs import Store, find_checkpoint, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

SEVEN = ((75, 65), (205, 65), (125, 235))


def picture(*strokes: tuple[tuple[int, int], ...], ink: Any = "white", ground: Any = "black", width: int = 20) -> Image.Image:
    image = Image.new("RGB", (280, 280), ground)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, fill=ink, width=width, joint="curve")
    return image


def as_file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


DRAWN = Drawing(strokes=[{}], png=as_file(picture(SEVEN)))


def add_run(model: str, dataset: str, name: str) -> str:
    """A run with the weights that its seed gives."""
    config = RunConfig.from_flat({"model": model, "dataset": dataset})
    spec = DATASETS[dataset].spec
    run = Store().create(config, "cpu", name=name)
    save_checkpoint(
        run.folder / "last.safetensors", build_model(config.model, spec, seed=0).state_dict(), config, spec, {"epoch": 1, "step": 1}
    )
    return run.run


@pytest.fixture
def nothing_shipped(own_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr("resnet_core.runs.opening.SHIPPED", tmp_path / "shipped")


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks without their familiarity learn it from these, in a moment; nobody goes on learning after a test."""
    monkeypatch.setattr("resnet_core.familiarity.REFERENCES", 60)
    monkeypatch.setattr("resnet_core.familiarity.CALIBRATION", 60)
    yield
    for thread in threading.enumerate():
        if thread.name == "measurement":
            thread.join(60)


@pytest.fixture
def networks(nothing_shipped: None) -> dict[str, str]:
    """Two networks for digits: name -> run."""
    return {"My plain one": add_run("plain8", "mnist-mini", "My plain one"), "My ResNet": add_run("resnet8", "mnist-mini", "My ResNet")}


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[Drawing], None]:
    """`draw(DRAWN)`: what the canvas holds from now on."""
    return lambda drawing: monkeypatch.setattr("dashboard.components.sketch.sources.show_canvas", lambda brush: drawing)


def said(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.subheader, app.markdown, app.caption, app.error, app.info) for element in kind)


def charts(app: AppTest) -> int:
    """Of answers: those of what the drawing would be without a part of it are not counted."""
    return sum('"part"' not in chart.proto.spec for kind in ("vega_lite_chart", "arrow_vega_lite_chart") for chart in app.get(kind))


@pytest.mark.usefixtures("networks")
def test_an_empty_canvas_asks_for_a_drawing(open_page: OpenPage, language: str) -> None:
    app = open_page("sketch", language=language)
    assert_healthy(app)
    assert app.subheader[0].value == sentences(language)["sketch.draw_something"]
    assert sentences(language)["sketch.journey_waiting"] in said(app)
    assert charts(app) == 0


@pytest.mark.usefixtures("nothing_shipped")
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


def uploaded(open_page: OpenPage, language: str, name: str, content: bytes) -> AppTest:
    app = open_page("sketch", language=language)
    app.segmented_control(key="sketch_source").set_value("photo").run()
    app.file_uploader(key="sketch_upload").set_value((name, content, "image/png")).run()
    assert_healthy(app)
    return app


BLUE, PAPER = (40, 50, 110), (214, 208, 196)
PHOTO = picture(SEVEN, ink=BLUE, ground=PAPER)
ROTATED = Image.Exif()
ROTATED[0x0112] = 6  # shown a quarter turn to the right of how it is stored
GOOD = {
    "dark-on-light.png": as_file(PHOTO),
    "light-on-dark.png": as_file(picture(SEVEN, ink=PAPER, ground=BLUE)),
    "cmyk.jpg": as_file(PHOTO.convert("CMYK"), "JPEG", quality=95),
    "rotated.jpg": as_file(PHOTO.rotate(90, expand=True), "JPEG", quality=95, exif=ROTATED),
    "palette.gif": as_file(PHOTO, "GIF"),
}


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("name", GOOD)
def test_a_photo_is_prepared_like_the_drawing(open_page: OpenPage, language: str, name: str) -> None:
    app = uploaded(open_page, language, name, GOOD[name])
    assert not app.error
    assert charts(app) == 1
    for step in ("photo", "ink", "cropped", "scaled", "centred"):
        assert sentences(language)[STEPS[step].reason] in said(app)
    image = prepare_photo(GOOD[name], name).image.astype(float)
    assert np.corrcoef(image.ravel(), prepare_sketch(np.asarray(picture(SEVEN))).image.ravel())[0, 1] > 0.95


BAD = {
    "text.png": (b"Dear reader", "image_unreadable"),
    "empty.png": (b"", "image_unreadable"),
    "cut.png": (as_file(PHOTO)[:200], "image_unreadable"),
    "bomb.png": (as_file(Image.new("1", (20_000, 20_000))), "image_too_large"),
    "tiny.png": (as_file(Image.new("L", (1, 1), 255)), "no_ink"),
    "blank.png": (as_file(Image.new("RGB", (200, 200), "white")), "no_ink"),
    "black.png": (as_file(Image.new("RGB", (200, 200), "black")), "no_ink"),
}


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_is_one_sentence(open_page: OpenPage, language: str, name: str) -> None:
    content, code = BAD[name]
    app = uploaded(open_page, language, name, content)
    sentence = sentences(language)[f"error.{code}"].split("{path}")
    assert len(app.error) == 1
    assert app.error[0].value.startswith(sentence[0] + name)
    assert app.subheader[0].value == sentences(language)["sketch.waiting_photo"]
    assert charts(app) == 0


# -- the canvas ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Drawing]:
    """`canvas(strokes, background)`: what show_canvas makes of what the component sends; None: it sent nothing yet."""
    monkeypatch.setattr(sketch_input.st, "session_state", {})

    def show(strokes: list[dict[str, Any]] | None, background: str | None = None) -> Drawing:
        def st_canvas(**asked: Any) -> SimpleNamespace:
            sketch_input.st.session_state[asked["key"]] = {}
            raw = {"objects": asked["initial_drawing"]["objects"] if strokes is None else strokes}
            raw["background"] = background or asked["background_color"]
            return SimpleNamespace(json_data=raw, image_bytes=None if strokes is None else as_file(picture(SEVEN)))

        module = ModuleType("streamlit_drawable_canvas")
        module.st_canvas = st_canvas  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "streamlit_drawable_canvas", module)
        return sketch_input.show_canvas(20)

    return show


def test_a_canvas_is_empty_until_it_sends_strokes(canvas: Callable[..., Drawing]) -> None:
    assert canvas(None).pixels is None
    drawn = canvas([{"type": "Path"}])
    assert drawn.pixels is not None
    assert drawn.pixels.shape == (280, 280, 4)
    assert canvas([]).pixels is None  # cleared by the component's own button: a black picture, no strokes


def test_what_a_cleared_canvas_sent_before_is_not_shown(canvas: Callable[..., Drawing]) -> None:
    before = canvas([{"type": "Path"}])
    sketch_input.clear_canvas()
    assert canvas([{"type": "Path"}], background=before.background).pixels is None
    assert canvas([]).pixels is None
    assert canvas([{"type": "Path"}]).pixels is not None


def test_undo_gives_the_canvas_the_other_strokes_under_a_new_name_each_time(canvas: Callable[..., Drawing]) -> None:
    canvas([{"n": 1}, {"n": 2}])
    sketch_input.undo_stroke()
    once = canvas(None)
    assert once.given == [{"n": 1}]
    canvas([{"n": 1}, {"n": 3}])
    sketch_input.undo_stroke()
    again = canvas(None)
    assert again.given == once.given
    assert again.background != once.background  # else the component would take it for the drawing it had


def test_a_drawing_comes_back_with_its_page(canvas: Callable[..., Drawing]) -> None:
    canvas([{"n": 1}])
    del sketch_input.st.session_state[sketch_input.KEY]  # as a visit to another page does
    back = canvas(None)
    assert back.given == [{"n": 1}]
    assert back.pixels is not None


# -- words and colours ---------------------------------------------------------------------------------------------------------------


def test_moves_are_said_in_words() -> None:
    assert step_numbers("centred", {"right": 0, "down": 0}) == "not moved"
    assert step_numbers("centred", {"right": -2, "down": 1}) == "moved 2 px left and 1 px down"
    assert step_numbers("centred", {"right": 1, "down": -3}) == "moved 1 px right and 3 px up"


def test_every_step_of_a_photo_and_of_a_drawing_has_its_words() -> None:
    for sketch in (prepare_photo(GOOD["cmyk.jpg"]), prepare_sketch(np.asarray(picture(SEVEN)))):
        for step in sketch.steps:
            assert step.name in STEPS
            assert re.search(r"\d|not moved", step_numbers(step.name, step.values))


def test_networks_of_a_kind_have_shades_of_their_colour() -> None:
    found = shades(["#2E86C9", "#DD6B20", "#2E86C9", "#2E86C9"])
    assert found[:2] == ["#2E86C9", "#DD6B20"]
    assert len(set(found)) == 4
    lightness = [sum(int(color[start : start + 2], 16) for start in (1, 3, 5)) for color in found]
    assert lightness[3] < lightness[0] < lightness[2]


# -- a person's own sketches -------------------------------------------------------------------------------------------------------


def test_a_drawing_is_kept_judged_and_forgotten(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str], language: str
) -> None:
    draw(DRAWN)
    app = open_page("sketch", language=language)
    assert sentences(language)["sketch.mine_none"] in said(app)
    for label, part in (("7", "test"), ("7", "train"), ("1", "test")):
        app.segmented_control(key="sketch_keep").set_value(label).run()
        assert_healthy(app)
        assert sentences(language)[f"sketch.kept_{part}"] in said(app)
    assert [(sketch.label, sketch.part) for sketch in sketches()] == [("1", "test"), ("7", "train"), ("7", "test")]
    image = prepare_sketch(np.asarray(picture(SEVEN))).image
    for row, (name, run) in zip(app.table[0].value.itertuples(index=False), reversed(networks.items()), strict=True):
        checkpoint = find_checkpoint(run)
        answer = ask(checkpoint, load_model(checkpoint), image).answer
        right = sum(answer == sketch.label for sketch in sketches())
        assert row[0] == name
        assert row[1] == sentences(language)["sketch.score_of"].format(right=right, count=3)
    app.button(key="sketch_forget_all").click().run()
    assert_healthy(app)
    assert sketches() == ()


def test_a_damaged_sketch_hides_no_other(open_page: OpenPage, networks: Mapping[str, str], language: str) -> None:
    whole = keep_sketch(np.asarray(picture(SEVEN).convert("L")), "7")
    damaged = keep_sketch(np.asarray(picture(SEVEN).convert("L")), "1")
    damaged.path.write_bytes(damaged.path.read_bytes()[:40])
    app = open_page("sketch", language=language)
    assert_healthy(app)
    words = sentences(language)
    assert words["sketch.mine_damaged"].format(count=1, names=damaged.path.name) in [warning.value for warning in app.warning]
    assert words["sketch.mine_read"].format(count=1) in said(app)
    app.button(key="sketch_damaged").click().run()
    assert_healthy(app)
    assert [sketch.name for sketch in sketches()] == [whole.name]
    assert not app.warning


def test_where_a_network_learnt_from_sketches_only_those_kept_apart_count_for_all(
    open_page: OpenPage, draw: Callable[[Drawing], None], networks: Mapping[str, str]
) -> None:
    for label in ("7", "7", "7", "1"):
        keep_sketch(np.asarray(picture(SEVEN).convert("L")), label)
    draw(DRAWN)
    config = RunConfig.from_flat({"model": "resnet8", "dataset": "mnist-mini+sketches", "start_from": networks["My ResNet"]})
    spec = DATASETS["mnist-mini"].spec
    run = Store().create(config, "cpu", name="My copy")
    weights = build_model(config.model, spec, seed=3).state_dict()
    measured = {"epoch": 1, "step": 1, "test_accuracy": 0.9876, "test_images": 10_000}
    save_checkpoint(run.folder / "last.safetensors", weights, config, spec, measured)
    app = open_page("sketch", run=run.run)
    assert_healthy(app)
    app.multiselect(key="sketch_networks").set_value([networks["My ResNet"], run.run]).run()
    assert_healthy(app)
    words = sentences("en")
    for name, counted in zip(("My ResNet", "My copy"), app.table[0].value.itertuples(index=False), strict=True):
        assert counted[0] == name
        assert counted[1].endswith("of 2")
        assert counted[2] == words["sketch.score_apart"]
    assert app.table[0].value.iloc[1, 3] == "98.76%"
    assert app.button(key="sketch_measure_mnist")  # for the one that nobody measured on MNIST


@pytest.mark.usefixtures("own_runs")
def test_a_copy_of_a_network_learns_them_on_the_train_page(
    open_page: OpenPage, draw: Callable[[Drawing], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.components.training.view.dispatch", lambda store: ())
    monkeypatch.setattr("dashboard.components.training.start.start", lambda store, configs: tuple(store.create(c, "cpu") for c in configs))
    draw(DRAWN)
    app = open_page("sketch")
    app.segmented_control(key="sketch_keep").set_value("7").run()
    app.button(key="sketch_tune_resnet20-mnist").click().run()
    app.switch_page("pages/train.py").run()  # AppTest's own st.switch_page keeps the file that it was started with
    assert_healthy(app)
    assert app.selectbox(key="train_dataset").value == "mnist-mini+sketches"
    assert app.multiselect(key="train_models").value == ["resnet20"]
    assert app.selectbox(key="train_start_from").value == "resnet20-mnist"
    assert app.number_input(key="train_learning_rate").value == 0.01
    app.button(key="train_start").click().run()
    run = Store().runs()[0]
    assert (run.dataset, run.config.train.start_from, run.config.model) == (
        "mnist-mini+sketches",
        "resnet20-mnist",
        find_checkpoint("resnet20-mnist").config.model,
    )


# -- why ------------------------------------------------------------------------------------------------------------------------------


def fabric(*strokes: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """As the canvas sends them."""
    return [
        {"type": "Path", "strokeWidth": 20, "path": [["M", *points[0]], *(["L", *point] for point in points[1:])]} for points in strokes
    ]


def test_strokes_are_read_with_their_curves() -> None:
    curve = {"type": "path", "strokeWidth": 12, "path": [["M", 10, 20], ["Q", 20, 20, 20, 30], ["L", 20, 50]]}
    (line,) = Drawing(strokes=[curve]).lines
    assert line.width == 12
    assert line.points[0].tolist() == [10, 20]
    assert line.points[2].tolist() == [17.5, 22.5]  # halfway along the curve
    assert line.points[-1].tolist() == [20, 50]
    assert Drawing(strokes=[curve, {"type": "rect"}]).lines == ()


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
    assert "T = 0.92" in said(app)  # resnet20-mnist's own temperature


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
