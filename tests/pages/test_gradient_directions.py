"""Path lengths and shattered gradients on the Gradients page: only what was asked for runs, and its numbers are the core's."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.i18n import sentences
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.inspection import line_gradients, measure_paths, toy_gradients
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "gradients"
SPEC = load_spec(DataConfig())


def save(folder: Path, model: str) -> None:
    config = RunConfig(model=ModelConfig(model=model, width=0.25))
    weights = build_model(config.model, SPEC, seed=1).state_dict()
    save_checkpoint(folder / f"{model}-tiny.safetensors", weights, config, SPEC, {"epoch": 3, "step": 9})


@pytest.fixture(autouse=True)
def pair(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-8 and its twin in the place of checkpoints/, no runs, and no study by depth."""
    for model in ("resnet8", "plain8"):
        save(tmp_path, model)
    monkeypatch.setattr("resnet_core.runs.opening.SHIPPED", tmp_path)
    monkeypatch.setattr("dashboard.components.gradients.depth.AT_ONCE", 0.0)


def choose(app: AppTest, which: str) -> AppTest:
    app.segmented_control(key="gradient_further").set_value(which).run()
    assert_healthy(app)
    return app


def paths_chart(app: AppTest) -> list[dict[str, Any]]:
    found = [element for element in app.get("plotly_chart") if "paths_chart" in element.proto.id]
    return json.loads(found[0].proto.spec)["data"] if found else []


def titles(app: AppTest) -> list[str]:
    """Of the traces, the Vega charts that have one."""
    specs = [json.loads(element.proto.spec) for element in app.get("vega_lite_chart")]
    return [spec["title"]["text"] for spec in specs if "title" in spec]


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


def test_paths_of_a_small_network_are_all_followed(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet8-tiny")
    assert_healthy(app)
    assert not paths_chart(app), "nothing is measured before it is asked for"
    assert not titles(app)
    choose(app, "paths")
    counts, norms, exact, estimate = paths_chart(app)
    _, split = load_split(DataConfig(), "test")
    chosen = split.take(some_images(len(split), 16, 0))
    report = measure_paths(load_model(find_checkpoint("resnet8-tiny")), normalize(chosen.images, SPEC), chosen.labels)
    assert counts["y"] == [1, 3, 3, 1]
    assert norms["y"] == pytest.approx([line.norm for line in report.lengths], rel=1e-6)
    assert exact["y"] == pytest.approx([line.part for line in report.lengths], rel=1e-6)
    assert estimate["y"] == pytest.approx([line.share for line in report.lengths], rel=1e-6)
    words = sentences(language)
    assert words["paths.few"].format(blocks=3, needed=15) in captions(app)
    assert words["paths.check_all"].format(paths=8) in captions(app)
    assert any(f"**{report.mean_length:.1f}**" in text.value for text in app.markdown)


def test_a_deep_network_says_what_it_costs_and_is_measured_after_a_click(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.components.gradients.paths.DEEP_MODEL", "resnet38")
    monkeypatch.setattr("dashboard.components.gradients.paths.DEEP_BLOCKS", 18)
    monkeypatch.setattr("dashboard.components.gradients.paths.AT_ONCE", 0.0)
    app = choose(open_page(PAGE, run="resnet8-tiny"), "paths")
    assert not paths_chart(app)
    app.number_input(key="paths_count").set_value(1).run()
    app.segmented_control(key="paths_network").set_value("deep").run()
    assert_healthy(app)
    app.segmented_control(key="paths_samples").set_value(4).run()
    app.button(key="paths_start").click().run()
    for _ in range(300):
        if paths_chart(app):
            break
        time.sleep(0.2)
        app.run()
    assert_healthy(app)
    counts, _, exact, _ = paths_chart(app)
    assert sum(counts["y"]) == 2**18
    assert sum(exact["y"]) == pytest.approx(1, abs=1e-4)
    assert "2¹⁸" in captions(app)


def test_a_plain_network_has_one_path(open_page: OpenPage, language: str) -> None:
    app = choose(open_page(PAGE, language=language, run="plain8-tiny"), "paths")
    assert not paths_chart(app)
    assert sentences(language)["error.no_shortcuts"].format(name="Plain-8") in [info.value for info in app.info]


def test_shattered_gradients_of_the_toy_and_of_the_pair(open_page: OpenPage, language: str) -> None:
    app = choose(open_page(PAGE, language=language, run="resnet8-tiny"), "shatter")
    app.slider(key="shatter_depth").set_value(3).run()
    app.number_input(key="shatter_seeds").set_value(2).run()
    assert_healthy(app)
    words = sentences(language)
    texts = [text.value for text in app.markdown]
    assert words["shatter.means"] in texts
    for kind, word in (("plain", "plain"), ("resnet", "ResNet")):
        toy = toy_gradients(kind, 3, seeds=2)
        assert words["shatter.toy_says"].format(network=word, norm=f"{toy.norm:.3g}", lag1=f"{toy.autocorrelation[0]:.2f}") in texts
    toys = [words["shatter.toy_trace"].format(network=word, depth=3) for word in ("plain", "ResNet")]
    lines = [words["shatter.line_trace"].format(network=name, label=7) for name in ("ResNet-8", "Plain-8")]
    assert titles(app) == [*toys, *lines]
    _, split = load_split(DataConfig(), "test")
    first, second = (normalize(split.images[index : index + 1], SPEC) for index in (0, 1))
    line = line_gradients(load_model(find_checkpoint("resnet8-tiny")), first, second, int(split.labels[0]))
    expected = [f"{line.autocorrelation[lag - 1]:.2f}" for lag in (1, 10)]
    assert any(text.startswith("**ResNet-8**") and all(number in text for number in expected) for text in texts)


def test_one_image_is_no_line(open_page: OpenPage) -> None:
    app = choose(open_page(PAGE, run="resnet8-tiny"), "shatter")
    app.number_input(key="shatter_second").set_value(0).run()
    assert_healthy(app)
    assert "two different images" in app.warning[0].value
    assert len(titles(app)) == 2, "the toy's alone"
