"""The Residual blocks page, and the pickers that every page shares: with networks, without any, and with what links get wrong."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.i18n import sentences
from dashboard.sketch_input import Drawing
from resnet_core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import DataSpec, Split, load_spec, load_split, normalize, some_images
from resnet_core.data.sketch import prepare_sketch
from resnet_core.inspection import SETTLED_ON, block_maps, residual_statistics, settle_norms
from resnet_core.models import build_model
from resnet_core.runs import Checkpoint, Store, find_checkpoint, initial_model, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "residual-blocks"
SPEC = load_spec(DataConfig())


def save(path: Path, model: str, *, seed: int = 1, **metrics: float) -> None:
    config = RunConfig(model=ModelConfig(model=model, width=0.5), train=TrainConfig(seed=0, epochs=8))
    weights = build_model(config.model, SPEC, seed=seed).state_dict()
    save_checkpoint(path, weights, config, SPEC, {"epoch": 3, "step": 9, **metrics})


@pytest.fixture
def pair(shipped: Path) -> Path:
    save(shipped / "resnet14-tiny.safetensors", "resnet14", test_accuracy=0.9876)
    save(shipped / "plain8-tiny.safetensors", "plain8")
    return shipped


@pytest.fixture
def run(pair: Path, own_runs: Path) -> str:
    """A running training with several checkpoints."""
    store = Store()
    found = store.create(RunConfig(model=ModelConfig(model="resnet8", width=0.5), train=TrainConfig(epochs=8)), "cpu", name="mine")
    store.update(found.run, epoch=3)
    for seed, which in enumerate(("first", "epoch-2", "last")):
        save(own_runs / found.run / f"{which}.safetensors", "resnet8", seed=seed)
    return found.run


def chart(app: AppTest, key: str) -> dict:  # type: ignore[type-arg]
    (found,) = [element for element in app.get("plotly_chart") if key in element.proto.id]
    return json.loads(found.proto.spec)  # type: ignore[no-any-return]


def maps_of(app: AppTest) -> dict:  # type: ignore[type-arg]
    """What the linked maps were given, with their numbers as arrays."""
    (found,) = [element for element in app.get("bidi_component") if element.proto.component_name.endswith("linked_maps")]
    data = json.loads(found.proto.json)
    for panel in data["panels"]:
        if panel["values"] is not None:
            panel["values"] = np.frombuffer(base64.b64decode(panel["values"]), "<f4").reshape(panel["rows"], panel["columns"])
    return data  # type: ignore[no-any-return]


def bars(app: AppTest) -> list[dict]:  # type: ignore[type-arg]
    return [trace for trace in chart(app, "block_strip")["data"] if trace["type"] == "bar" and len(trace["x"]) > 1]


def warnings(app: AppTest) -> str:
    return " ".join(warning.value for warning in app.warning)


# -- empty and full ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shipped")
def test_without_any_network_it_says_so_and_shows_the_way(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language)
    assert_healthy(app)
    assert app.info[0].value == sentences(language)["pick.nothing"]
    assert not app.get("plotly_chart")


@pytest.mark.usefixtures("pair")
def test_full_in_both_languages(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet14-tiny")
    assert_healthy(app)
    keys = {element.key for element in app.main} | {widget.key for widget in (*app.selectbox, *app.number_input)}
    assert {"run_picker", "image_picker", "block_picker"} <= keys
    assert len(maps_of(app)["panels"]) == 4
    assert chart(app, "block_strip")
    words = sentences(language)
    assert words["blocks.maps_read"] in [caption.value for caption in app.caption]
    assert app.selectbox(key="block_picker").options[0] == words["pick.block_name"].format(stage=1, block=1)
    assert "98.76%" in app.selectbox(key="run_picker").options[0]


@pytest.mark.usefixtures("pair")
def test_a_plain_network_says_that_it_has_no_shortcut(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="plain8-tiny")
    assert_healthy(app)
    words = sentences(language)
    assert words["blocks.maps_plain"] in [caption.value for caption in app.caption]
    assert words["blocks.shares_plain"] in [caption.value for caption in app.caption]
    panels = maps_of(app)["panels"]
    assert [panel["note"] for panel in panels if panel["values"] is None] == [words["blocks.no_shortcut_note"]]
    assert len(panels) == 4
    offered = app.pills(key="strip_measures_plain").options
    assert words["blocks.residual_std"] in offered
    assert words["blocks.ratio"] not in offered
    assert words["blocks.cosine"] not in offered


# -- numbers ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_the_strip_s_numbers_are_the_core_s(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet14-tiny")
    app.number_input(key="strip_count").set_value(20).run()
    app.number_input(key="strip_seed").set_value(5).run()
    assert_healthy(app)
    checkpoint = find_checkpoint("resnet14-tiny")
    _, split = load_split(DataConfig(), "test")
    images = normalize(split.take(some_images(len(split), 20, 5)).images, SPEC)
    expected = residual_statistics(load_model(checkpoint), images)
    ratio, cosine = bars(app)
    assert ratio["y"] == pytest.approx([block.ratio for block in expected], rel=1e-6)
    assert ratio["error_y"]["array"] == pytest.approx([block.ratio_spread for block in expected], rel=1e-5)
    assert cosine["y"] == pytest.approx([block.cosine for block in expected], rel=1e-5)
    before = residual_statistics(settle_norms(initial_model(checkpoint), images), images)
    marks = [trace for trace in chart(app, "block_strip")["data"] if trace.get("mode") == "markers"]
    assert marks[0]["y"] == pytest.approx([block.ratio for block in before], rel=1e-6)


@pytest.mark.usefixtures("pair")
def test_the_sum_under_the_cursor_is_the_core_s(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet14-tiny", image="mnist-mini:test:7", block="stages.0.1")
    app.segmented_control(key="residual_mode").set_value("one").run()
    app.selectbox(key="residual_sort").set_value("number").run()
    app.selectbox(key="residual_channel").set_value(3).run()
    assert_healthy(app)
    _, split = load_split(DataConfig(), "test")
    maps = block_maps(load_model(find_checkpoint("resnet14-tiny")), normalize(split.images[7:8], SPEC), "stages.0.1")
    assert maps.shortcut is not None
    assert maps.sum is not None
    shown = maps_of(app)
    assert shown["sum"]
    assert shown["limit"] == max(np.abs(part[3]).max() for part in (maps.shortcut, maps.residual, maps.sum, maps.output))
    for panel, part in zip(shown["panels"], (maps.shortcut, maps.residual, maps.sum, maps.output), strict=True):
        assert np.array_equal(panel["values"], part[3])
    assert np.array_equal(shown["panels"][0]["values"] + shown["panels"][1]["values"], shown["panels"][2]["values"])


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("mode", ["mean", "one", "all"])
def test_every_way_to_show_channels(open_page: OpenPage, mode: str) -> None:
    app = open_page(PAGE, run="resnet14-tiny")
    app.segmented_control(key="residual_mode").set_value(mode).run()
    assert_healthy(app)
    assert all(panel["values"] is not None and (panel["tile"] is not None) == (mode == "all") for panel in maps_of(app)["panels"])


# -- pictures of one's own --------------------------------------------------------------------------------------------------------


def as_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def assert_shows(app: AppTest, checkpoint: Checkpoint, pixels: torch.Tensor) -> None:
    """The maps are those of this one image, uint8 (C, H, W)."""
    maps = block_maps(load_model(checkpoint), normalize(pixels[None], checkpoint.spec), "stages.0.0")
    for panel, part in zip(maps_of(app)["panels"], (maps.shortcut, maps.residual, maps.sum, maps.output), strict=True):
        assert part is not None
        assert np.allclose(panel["values"], part.mean(0), atol=1e-6)


@pytest.mark.usefixtures("pair")
def test_a_drawing_goes_through_the_blocks_and_the_link_stays(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    canvas = np.zeros((280, 280, 4), np.uint8)
    canvas[40:240, 130:150] = 255
    drawing = Drawing(strokes=[{}], png=as_file(Image.fromarray(canvas)))
    monkeypatch.setattr("dashboard.components.sketch.sources.show_canvas", lambda brush: drawing)
    app = open_page(PAGE, run="resnet14-tiny", block="stages.0.0", image="mnist-mini:test:3", panel="lesion")
    app.segmented_control(key="blocks_source").set_value("drawn").run()
    assert_healthy(app)
    assert_shows(app, find_checkpoint("resnet14-tiny"), torch.from_numpy(prepare_sketch(canvas).image)[None])
    assert app.query_params["image"] == "mnist-mini:test:3"
    words = sentences("en")
    assert any(words["lesion.answer_title"].format(image=words["pick.own_drawn"]) in element.value for element in app.markdown)
    app.segmented_control(key="blocks_source").set_value("set").run()
    assert app.number_input(key="image_picker").value == 3


COLOUR = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
GREY_CLOTHES = replace(SPEC, name="clothes", classes=("shirt", "shoe"))
COLOURED = replace(SPEC, name="colour", classes=("cat", "dog"), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.mark.parametrize("spec", [GREY_CLOTHES, COLOURED], ids=lambda spec: spec.name)
def test_any_picture_is_brought_to_the_network_s_size(
    open_page: OpenPage, shipped: Path, monkeypatch: pytest.MonkeyPatch, spec: DataSpec
) -> None:
    config = RunConfig(
        model=ModelConfig(model="resnet8", width=0.5), data=DataConfig(dataset="fashion-mnist" if spec.channels == 1 else "cifar10")
    )
    weights = build_model(config.model, spec, seed=1).state_dict()
    save_checkpoint(shipped / "other.safetensors", weights, config, spec, {"epoch": 1, "step": 9})
    images = Split(images=torch.randint(0, 256, (30, spec.channels, 28, 28), dtype=torch.uint8), labels=torch.arange(30) % 2)
    monkeypatch.setattr("dashboard.loading._cut_images", lambda config, split: (spec, images))
    app = open_page(PAGE, run="other", block="stages.0.0")
    assert app.segmented_control(key="blocks_source").options == [sentences("en")[key] for key in ("blocks.source_set", "sketch.photo")]
    app.segmented_control(key="blocks_source").set_value("given").run()
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    app.file_uploader(key="blocks_upload").set_value(
        ("moving.webp", as_file(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:]), "image/webp")
    ).run()
    assert_healthy(app)
    small = frames[0].convert("L" if spec.channels == 1 else "RGB").resize((28, 28), Image.Resampling.BILINEAR)
    assert_shows(app, find_checkpoint("other"), torch.from_numpy(np.array(small)).view(28, 28, -1).permute(2, 0, 1))
    words, said = sentences("en"), " ".join(caption.value for caption in app.caption)
    assert words["blocks.upload_frames"].format(count=2) in said
    assert (words["blocks.upload_gray"] in said) == (spec.channels == 1)
    app.file_uploader(key="blocks_upload").set_value(("torn.png", as_file(frames[0])[:300], "image/png")).run()
    assert_healthy(app)
    assert "torn.png" in app.error[0].value
    assert len(app.error) == 1
    assert maps_of(app)


@pytest.mark.usefixtures("shipped")
def test_a_network_before_training_is_shown_with_settled_norms(open_page: OpenPage, shipped: Path) -> None:
    save(shipped / "fresh.safetensors", "resnet8", seed=0, step=0)
    app = open_page(PAGE, run="fresh", block="stages.0.0", image="mnist-mini:test:7")
    assert_healthy(app)
    checkpoint, (_, split) = find_checkpoint("fresh"), load_split(DataConfig(), "test")
    known = normalize(split.take(some_images(len(split), SETTLED_ON, 0)).images, SPEC)
    maps = block_maps(settle_norms(load_model(checkpoint), known), normalize(split.images[7:8], SPEC), "stages.0.0")
    assert np.allclose(maps_of(app)["panels"][1]["values"], maps.residual.mean(0), atol=1e-5)


# -- one selection for all pages --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_choices_go_into_the_link(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.selectbox(key="run_picker").set_value("plain8-tiny").run()
    app.selectbox(key="run_picker").set_value("resnet14-tiny").run()
    app.selectbox(key="block_picker").set_value("stages.2.1").run()
    app.number_input(key="image_picker").set_value(12).run()
    assert_healthy(app)
    assert app.query_params["run"] == "resnet14-tiny"
    assert app.query_params["block"] == "stages.2.1"
    assert app.query_params["image"] == "mnist-mini:test:12"
    app.selectbox(key="run_picker").set_value("plain8-tiny").run()
    assert not warnings(app)  # the block that the other network lacks is forgotten, not complained of
    assert "block" not in app.query_params
    assert app.query_params["image"] == "mnist-mini:test:12"


@pytest.mark.usefixtures("pair")
def test_a_number_that_no_image_has_is_said_and_the_image_stays(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, image="mnist-mini:test:3")
    for number in (10_000, -1):
        app.number_input(key="image_picker").set_value(number).run()
        assert_healthy(app)
        (error,) = app.error
        assert error.value.startswith(sentences(language)["error.index_out_of_range"].partition("{")[0])
        assert str(number) in error.value
        assert "9999" in error.value
        assert app.number_input(key="image_picker").value == 3
        assert app.query_params["image"] == "mnist-mini:test:3"
    app.number_input(key="image_picker").set_value(12).run()
    assert not app.error


@pytest.mark.usefixtures("pair")
def test_a_filter_by_label_goes_to_an_image_that_has_it(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="plain8-tiny")
    app.selectbox(key="image_picker_label").set_value(3).run()
    _, split = load_split(DataConfig(), "test")
    assert int(split.labels[app.number_input(key="image_picker").value]) == 3
    app.button(key="image_picker_random").click().run()
    assert int(split.labels[app.number_input(key="image_picker").value]) == 3
    assert_healthy(app)


def test_a_run_offers_its_checkpoints(open_page: OpenPage, run: str) -> None:
    app = open_page(PAGE, run=run)
    assert_healthy(app)
    picker = app.selectbox(key="run_picker_checkpoint")
    assert picker.value == "last"
    assert picker.options == ["before training", "epoch 2", "last epoch"]
    label = next(option for option in app.selectbox(key="run_picker").options if "mine" in option)
    assert "epoch 3 of 8" in label
    picker.set_value("epoch-2").run()
    assert app.query_params["run"] == f"{run}@epoch-2"
    app.selectbox(key="run_picker_checkpoint").set_value("last").run()
    assert app.query_params["run"] == run
    assert_healthy(app)


# -- what links and files get wrong -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_unknown_names_in_a_link_are_said_once_and_the_rest_works(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet99", image="mnist-mini:test:10000", block="stages.9.0")
    assert_healthy(app)
    for value in ("resnet99", "10000", "stages.9.0"):
        assert value in warnings(app)
    assert len(app.warning) == 3
    assert app.selectbox(key="run_picker").value == "resnet14-tiny"
    assert maps_of(app)


def test_a_damaged_file_is_said_and_another_network_shown(open_page: OpenPage, pair: Path) -> None:
    file = pair / "resnet14-tiny.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 0xFF  # one weight
    file.write_bytes(bytes(data))
    app = open_page(PAGE, run="resnet14-tiny")
    assert_healthy(app)
    assert "resnet14-tiny.safetensors" in warnings(app)
    assert app.selectbox(key="run_picker").value == "plain8-tiny"
    file.write_bytes(b"no safetensors")
    app = open_page(PAGE, run="resnet14-tiny")
    assert_healthy(app)
    assert len(app.warning) == 1


@pytest.mark.usefixtures("pair")
def test_a_link_opens_no_other_file(open_page: OpenPage, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere.safetensors", "resnet8")
    app = open_page(PAGE, run=str(tmp_path / "elsewhere.safetensors"), image="image-folder:/:test:0")
    assert_healthy(app)
    assert "elsewhere" in warnings(app)
    assert app.selectbox(key="run_picker").value == "resnet14-tiny"
