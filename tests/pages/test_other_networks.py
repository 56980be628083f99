"""Networks without residual blocks: both pages say what cannot be shown, and show their layers."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from dashboard.i18n import sentences
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.inspection import measure_gradients
from resnet_core.inspection.layers import layer_maps
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

SPEC = load_spec(DataConfig())


@pytest.fixture(autouse=True)
def network(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig(model=ModelConfig(model="lenet5"))
    (tmp_path / "shipped").mkdir()
    monkeypatch.setattr("resnet_core.runs.opening.SHIPPED", tmp_path / "shipped")
    weights = build_model(config.model, SPEC, seed=1).state_dict()
    save_checkpoint(tmp_path / "shipped" / "lenet.safetensors", weights, config, SPEC, {"epoch": 1, "step": 9})


def test_residual_blocks_shows_activations_layer_by_layer(open_page: OpenPage, language: str) -> None:
    app = open_page("residual-blocks", language=language, run="lenet", image="mnist-mini:test:5", block="stages.0.0")
    app.select_slider(key="layer_picker").set_value("features.conv2")
    app.segmented_control(key="layer_mode").set_value("all").run()
    assert_healthy(app)
    assert not app.error
    words = sentences(language)
    assert app.info[0].value == words["layers.no_blocks"].format(network="LeNet-5")
    (element,) = [e for e in app.get("bidi_component") if e.proto.component_name.endswith("linked_maps")]
    (panel,) = json.loads(element.proto.json)["panels"]
    shown = np.frombuffer(base64.b64decode(panel["values"]), "<f4").reshape(panel["rows"], panel["columns"])
    _, split = load_split(DataConfig(), "test")
    _, second = layer_maps(load_model(find_checkpoint("lenet")), normalize(split.images[5:6], SPEC))
    assert np.array_equal(shown[11:21, 11:21], second.activations[5])  # 16 channels of 10 x 10: the second of the second row
    (chart,) = [json.loads(e.proto.spec) for e in app.get("plotly_chart")]
    assert chart["data"][0]["y"][1] == pytest.approx(float(np.sqrt((second.activations**2).mean())), rel=1e-5)


def test_gradients_shows_every_layer(open_page: OpenPage, language: str) -> None:
    app = open_page("gradients", language=language, run="lenet")
    assert_healthy(app)
    assert not app.error
    words = sentences(language)
    assert any(words["gradients.layers_read"] in caption.value for caption in app.caption)
    (chart,) = [json.loads(e.proto.spec) for e in app.get("plotly_chart") if "gradient_norms_chart" in e.proto.id]
    _, split = load_split(DataConfig(), "test")
    chosen = split.take(some_images(len(split), 32, 0))
    report = measure_gradients(load_model(find_checkpoint("lenet")), normalize(chosen.images, SPEC), chosen.labels)
    line = chart["data"][1]
    assert line["y"] == pytest.approx([layer.weight_grad_norm for layer in report.layers], rel=1e-4)
    assert line["text"] == [layer.name for layer in report.layers]
    app.segmented_control(key="gradient_further").set_value("paths").run()
    assert_healthy(app)
    assert "LeNet-5" in app.info[-1].value
