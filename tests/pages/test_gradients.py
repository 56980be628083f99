"""The Gradients page: with a pair, with one network, with runs, without anything, in both languages."""

import json
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from dashboard.components.gradients.batch import COUNT
from dashboard.i18n import sentences
from resnet_core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.inspection import GradientReport, gradient_trend, measure_gradients, residual_statistics, settle_norms, untrained_gradients
from resnet_core.models import build_model
from resnet_core.runs import Store, find_checkpoint, initial_model, load_model, save_checkpoint
from resnet_core.runs.metrics import RunWriter
from resnet_core.training.events import BlocksMeasured, StepDone
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "gradients"
SPEC = load_spec(DataConfig())


def save(path: Path, model: str, *, seed: int = 1, step: int = 9, history: dict[str, Any] | None = None) -> None:
    config = RunConfig(model=ModelConfig(model=model, width=0.5), train=TrainConfig(seed=0, epochs=8))
    metrics = {"epoch": 3, "step": step, **({"history": history} if history else {})}
    save_checkpoint(path, build_model(config.model, SPEC, seed=seed).state_dict(), config, SPEC, metrics)


def a_history(model: str, *, parts: bool) -> dict[str, Any]:
    """What a shipped network brings: gradients of some steps, and of the layers wherever its blocks were recorded."""
    network = build_model(ModelConfig(model=model, width=0.5), SPEC, seed=0)
    blocks = residual_statistics(network, torch.zeros(1, 1, 28, 28))
    norms = {"residual.conv1": 0.5, "residual.conv2": 20.0}
    recorded = {0: blocks, 4: [replace(block, layer_grad_norms=norms) for block in blocks]}
    steps: dict[str, Any] = {"step": [1, 3], "loss": [2.0, 1.0], "learning_rate": [0.1, 0.1]}
    if parts:
        steps["gradient_norms"] = {"stem": [0.1, 0.2], "stages.0": [1.0, 2.0], "head": [30.0, 40.0]}
    return {"epochs": [], "steps": steps, "blocks": {step: [asdict(block) for block in found] for step, found in recorded.items()}}


@pytest.fixture(autouse=True)
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Untrained networks are measured where a test asks for it."""
    monkeypatch.setattr("dashboard.components.gradients.depth.AT_ONCE", 0.0)


@pytest.fixture
def pair(shipped: Path) -> Path:
    save(shipped / "resnet14-tiny.safetensors", "resnet14")
    save(shipped / "plain14-tiny.safetensors", "plain14", seed=2)
    return shipped


@pytest.fixture
def experiment(shipped: Path, own_runs: Path) -> tuple[str, str]:
    """A ResNet and its twin of one experiment, with steps and weights."""
    store = Store()
    first, second = (
        store.create(RunConfig(model=ModelConfig(model=model, width=0.5)), "cpu", pair="both", run=model) for model in ("resnet8", "plain8")
    )
    for seed, run in enumerate((first, second)):
        for which in ("first", "last"):
            save(own_runs / run.run / f"{which}.safetensors", run.model_name, seed=seed, step=0 if which == "first" else 9)
        writer = RunWriter(store, run.run)
        for step in range(1, 6):
            norms = {"stem": 0.1 * step, "stages.0": 1.0, "stages.1": 2.0, "stages.2": 3.0, "head": 40.0 + seed}
            writer.write(StepDone(step=step, epoch=1, loss=2.0, learning_rate=0.1, images_per_second=100.0, stage_gradient_norms=norms))
        writer.flush()
        writer.close()
        store.update(run.run, status="finished")
    return first.run, second.run


def chart(app: AppTest, key: str) -> dict:  # type: ignore[type-arg]
    (found,) = [element for element in app.get("plotly_chart") if key in element.proto.id]
    return json.loads(found.proto.spec)  # type: ignore[no-any-return]


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.error, *app.warning))


def badges(app: AppTest) -> str:
    return " ".join(element.value for element in app.markdown if "badge" in element.value)


def expected(name: str, *, initial: bool = False, count: int = 20, seed: int = 5, training: bool = False) -> GradientReport:
    checkpoint = find_checkpoint(name)
    _, split = load_split(DataConfig(), "test")
    chosen = split.take(some_images(len(split), count, seed))
    inputs = normalize(chosen.images, SPEC)
    model = initial_model(checkpoint) if initial else load_model(checkpoint)
    return measure_gradients(settle_norms(model, inputs) if initial else model, inputs, chosen.labels, training=training)


# -- empty and full ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shipped")
def test_without_any_network_it_says_so_and_still_offers_untrained_ones(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language)
    assert_healthy(app)
    words = sentences(language)
    assert app.info[0].value == words["pick.nothing"]
    assert not app.get("plotly_chart")
    assert app.select_slider(key="depth_slider").value == 20
    assert app.button(key="depth_start")


@pytest.mark.usefixtures("pair")
def test_full_in_both_languages(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet14-tiny")
    assert_healthy(app)
    words = sentences(language)
    for key in ("gradient_norms_chart", "gradient_split_chart", "gradient_shares_chart", "gradient_flow"):
        assert chart(app, key)["data"]
    said = texts(app)
    assert words["gradients.sum_exact"] in said
    assert words["gradients.flow_read"] in said
    assert words["gradients.origin_shipped"].format(name="plain14-tiny") in said
    assert words["gradients.history_shipped"].format(name="resnet14-tiny") in said
    assert words["gradients.history_none"] in said
    assert any(words[f"gradients.verdict_{verdict}"] in badges(app) for verdict in ("healthy", "leaning_up"))


@pytest.mark.usefixtures("pair")
def test_a_plain_network_says_that_it_has_one_path_and_shows_its_twin(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="plain14-tiny")
    assert_healthy(app)
    assert sentences(language)["gradients.split_plain"].format(network="Plain-14") in texts(app)
    names = [trace["name"] for trace in chart(app, "gradient_norms_chart")["data"]]
    assert names[1:3] == ["Plain-14", "ResNet-14"]
    assert chart(app, "gradient_shares_chart")


def test_a_missing_twin_is_drawn_from_the_seed_and_that_is_said(open_page: OpenPage, shipped: Path, language: str) -> None:
    save(shipped / "resnet8-alone.safetensors", "resnet8")
    app = open_page(PAGE, language=language, run="resnet8-alone")
    assert_healthy(app)
    words = sentences(language)
    assert words["gradients.origin_initial"] in texts(app)
    name = words["gradients.member_initial"].format(network="Plain-8", before=words["pick.first"])
    traces = chart(app, "gradient_norms_chart")["data"]
    twin = next(trace for trace in traces if trace["name"] == name)
    checkpoint = find_checkpoint("resnet8-alone")
    model = replace(checkpoint.config.model, model="plain8")
    _, split = load_split(DataConfig(), "test")
    chosen = split.take(some_images(len(split), COUNT, 0))
    inputs = normalize(chosen.images, SPEC)
    found = measure_gradients(settle_norms(build_model(model, SPEC, seed=0).eval(), inputs), inputs, chosen.labels)
    assert twin["y"] == pytest.approx([block.input_grad_norm for block in found.blocks], rel=1e-5)


# -- numbers ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_page_s_numbers_are_the_core_s(open_page: OpenPage, mode: str) -> None:
    app = open_page(PAGE, run="resnet14-tiny", block="stages.1.1")
    app.number_input(key="gradient_count").set_value(20)
    app.number_input(key="gradient_seed").set_value(5)
    app.segmented_control(key="gradient_mode").set_value(mode).run()
    assert_healthy(app)
    own, twin = (expected(name, training=mode == "train") for name in ("resnet14-tiny", "plain14-tiny"))
    start = expected("resnet14-tiny", initial=True, training=mode == "train")
    traces = chart(app, "gradient_norms_chart")["data"]
    for trace, report in zip(traces[:3], (start, own, twin), strict=True):
        assert trace["y"] == pytest.approx([block.input_grad_norm for block in report.blocks], rel=1e-5)
    for trace, report in zip(traces[3:], (start, own, twin), strict=True):
        assert trace["y"] == pytest.approx([layer.weight_grad_norm for layer in report.layers], rel=1e-4)  # the order of float32 sums
    residual, shortcut = chart(app, "gradient_split_chart")["data"]
    assert residual["y"] == pytest.approx([block.through_residual_norm for block in own.blocks], rel=1e-5)
    assert shortcut["y"] == pytest.approx([block.through_shortcut_norm for block in own.blocks], rel=1e-5)
    bars = [trace for trace in chart(app, "gradient_shares_chart")["data"] if trace["type"] == "bar" and len(trace["x"]) > 1]
    assert bars[0]["y"] == pytest.approx([block.share for block in own.blocks], rel=1e-5)
    assert bars[1]["y"] == pytest.approx([block.cosine for block in own.blocks], abs=1e-5)
    assert bars[2]["y"][2] is None, "the shortcut of a downsampling block is not the identity"
    flow = [note["text"] for note in chart(app, "gradient_flow")["layout"]["annotations"]]
    assert f"{own.blocks[3].input_grad_norm:#.3g}" in flow
    trend = gradient_trend([block.input_grad_norm for block in own.blocks])
    assert f"{10**trend.log_ratio:.3g}" in texts(app)  # type: ignore[operator]


@pytest.mark.usefixtures("pair")
def test_weight_gradients_relative_to_the_weights(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet14-tiny")
    app.number_input(key="gradient_count").set_value(20)
    app.number_input(key="gradient_seed").set_value(5)
    app.segmented_control(key="gradient_weights").set_value("relative").run()
    assert_healthy(app)
    own = expected("resnet14-tiny")
    traces = [trace for trace in chart(app, "gradient_norms_chart")["data"] if trace["name"] == "ResNet-14"]
    assert traces[1]["y"] == pytest.approx([layer.weight_grad_norm / layer.weight_norm for layer in own.layers], rel=1e-5)
    app.segmented_control(key="gradient_weights").set_value("update").run()
    assert_healthy(app)
    traces = [trace for trace in chart(app, "gradient_norms_chart")["data"] if trace["name"] == "ResNet-14"]
    step = [0.1 * 1.9 * layer.weight_grad_norm / layer.weight_norm for layer in own.layers]  # Nesterov's first, but for the decay
    assert traces[1]["y"] == pytest.approx(step, rel=0.05, abs=2e-4)
    assert sentences("en")["gradients.update_read"].format(optimizer="SGD", rate="0.1") in texts(app)


# -- runs -------------------------------------------------------------------------------------------------------------------------


def test_a_run_is_compared_with_its_twin_of_the_same_experiment(open_page: OpenPage, experiment: tuple[str, str]) -> None:
    app = open_page(PAGE, run=experiment[0])
    assert_healthy(app)
    words = sentences("en")
    assert words["gradients.origin_experiment"].format(name=experiment[1]) in texts(app)
    app.selectbox(key="run_picker_checkpoint").set_value("first").run()
    assert_healthy(app)
    assert words["gradients.origin_experiment"].format(name=f"{experiment[1]}@first") in texts(app)
    names = [trace["name"] for trace in chart(app, "gradient_norms_chart")["data"]]
    assert not any(words["pick.first"] in name for name in names), "it is the network before training itself"


def test_the_norms_of_every_step_are_a_heatmap_per_network(open_page: OpenPage, experiment: tuple[str, str], language: str) -> None:
    app = open_page(PAGE, language=language, run=experiment[1])
    assert_healthy(app)
    assert app.selectbox(key="gradient_run").value == experiment[1]
    charts = app.get("vega_lite_chart")
    assert len(charts) == 2
    spec = json.loads(charts[0].proto.spec)
    assert spec["encoding"]["y"]["scale"]["domain"][-1] == "stem"
    assert spec["encoding"]["color"]["scale"]["domain"] == pytest.approx([0.1, 10**0.5, 100])
    assert sentences(language)["gradients.history_read"] in texts(app)


def test_recorded_layers_are_a_heatmap_too(open_page: OpenPage, experiment: tuple[str, str], language: str) -> None:
    app = open_page(PAGE, language=language, run=experiment[1])
    app.segmented_control(key="gradient_history_rows").set_value("layers").run()
    assert_healthy(app)
    assert not app.get("vega_lite_chart")
    words = sentences(language)
    setting = words["setting.probe_every.label"]
    assert words["gradients.history_no_layers"].format(setting=setting) in texts(app)
    model = build_model(ModelConfig(model="resnet8", width=0.5), SPEC, seed=0)
    blocks = residual_statistics(model, torch.zeros(1, 1, 28, 28))
    with closing(RunWriter(Store(), experiment[1])) as writer:
        for step in (1, 2):
            norms = {"residual.conv1": 0.5 * step, "residual.conv2": 2.0}
            writer.write(BlocksMeasured(step=step, block_statistics=tuple(replace(block, layer_grad_norms=norms) for block in blocks)))
    app.run()
    assert_healthy(app)
    spec = json.loads(app.get("vega_lite_chart")[-1].proto.spec)
    assert spec["encoding"]["y"]["scale"]["domain"] == ["3.1 conv2", "3.1 conv1", "2.1 conv2", "2.1 conv1", "1.1 conv2", "1.1 conv1"]
    assert words["gradients.history_layers_read"].format(setting=setting) in texts(app)


def test_shipped_networks_bring_the_gradients_of_their_training(open_page: OpenPage, shipped: Path, language: str) -> None:
    for model in ("resnet8", "plain8"):
        save(shipped / f"{model}-known.safetensors", model, history=a_history(model, parts=True))
    app = open_page(PAGE, language=language, run="resnet8-known")
    assert_healthy(app)
    words = sentences(language)
    assert app.selectbox(key="gradient_run").options == ["resnet8-known"]
    assert words["gradients.history_shipped"].format(name="resnet8-known") not in texts(app)
    assert words["gradients.history_read"] in texts(app)
    first, second = (json.loads(element.proto.spec) for element in app.get("vega_lite_chart"))  # with its twin
    assert first["encoding"]["color"]["scale"]["domain"] == second["encoding"]["color"]["scale"]["domain"]
    assert first["encoding"]["y"]["scale"]["domain"] == [words["part.head"], words["part.stage"].format(stage=1), words["part.stem"]]
    assert first["encoding"]["x"]["scale"]["domain"] == [0, 4]
    app.segmented_control(key="gradient_history_rows").set_value("layers").run()
    assert_healthy(app)
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert spec["encoding"]["y"]["scale"]["domain"] == ["3.1 conv2", "3.1 conv1", "2.1 conv2", "2.1 conv1", "1.1 conv2", "1.1 conv1"]


def test_one_kind_of_rows_is_no_question(open_page: OpenPage, shipped: Path, experiment: tuple[str, str], language: str) -> None:
    save(shipped / "resnet8-known.safetensors", "resnet8", history=a_history("resnet8", parts=False))
    app = open_page(PAGE, language=language, run="resnet8-known")
    assert_healthy(app)
    assert app.selectbox(key="gradient_run").value == "resnet8-known"
    assert "gradient_history_rows" not in {control.key for control in app.segmented_control}
    assert len(app.get("vega_lite_chart")) == 1
    setting = sentences(language)["setting.probe_every.label"]
    assert sentences(language)["gradients.history_layers_read"].format(setting=setting) in texts(app)
    app.selectbox(key="gradient_run").set_value(experiment[0]).run()
    assert_healthy(app)
    assert app.segmented_control(key="gradient_history_rows").value == "parts"
    assert len(app.get("vega_lite_chart")) == 2


def test_a_run_without_a_step_yet_is_waited_for(open_page: OpenPage, shipped: Path, language: str) -> None:
    save(shipped / "resnet8-alone.safetensors", "resnet8")
    Store().create(RunConfig(model=ModelConfig(model="resnet8", width=0.5)), "cpu", name="mine")
    app = open_page(PAGE, language=language)
    assert_healthy(app)
    words = sentences(language)
    assert words["gradients.history_waiting"] in texts(app)
    assert words["gradients.history_none"] not in texts(app)


# -- before training, by depth ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shipped")
def test_untrained_networks_by_depth(open_page: OpenPage, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.components.gradients.depth.AT_ONCE", 1000.0)
    monkeypatch.setattr("dashboard.components.gradients.depth.DEPTH", 14)
    monkeypatch.setattr("dashboard.components.gradients.depth.COUNT", 4)
    app = open_page(PAGE, language=language)
    app.segmented_control(key="depth_width").set_value(0.5)
    app.segmented_control(key="depth_option").set_value("C")
    app.segmented_control(key="depth_residual_scale").set_value(0.3).run()
    assert_healthy(app)
    charts = [json.loads(element.proto.spec) for element in app.get("vega_lite_chart")]
    assert len(charts) == 2
    assert sentences(language)["gradients.depth_read"].format(seeds=3, count=4) in texts(app)
    spec, split = load_split(DataConfig(), "train")
    config = ModelConfig(model="resnet14", option="C", width=0.5, residual_scale=0.3)
    found = [untrained_gradients(config, spec, split, count=4, seed=seed) for seed in range(3)]
    middle = sorted(one.trend.log_ratio for one in found if one.trend.log_ratio is not None)[1]
    assert f"{middle:+.2f}".replace("-", "−") in texts(app)


@pytest.mark.usefixtures("shipped")
def test_the_cost_is_said_before(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language)
    app.select_slider(key="depth_slider").set_value(110).run()
    assert_healthy(app)
    cost = sentences(language)["gradients.depth_cost"].split("{")[1].partition("}")[2].strip()[:6]
    assert any("48" in caption.value and cost in caption.value for caption in app.caption)


# -- what links and files get wrong -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_unknown_names_in_a_link_are_said_and_the_rest_works(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet99", block="stages.9.0")
    assert_healthy(app)
    for value in ("resnet99", "stages.9.0"):
        assert value in " ".join(warning.value for warning in app.warning)
    assert chart(app, "gradient_norms_chart")


def test_missing_images_are_one_sentence_and_the_rest_works(open_page: OpenPage, shipped: Path, language: str) -> None:
    config = RunConfig(model=ModelConfig(model="resnet8", width=0.5), data=DataConfig(dataset="cifar100"))
    weights = build_model(config.model, SPEC, seed=0).state_dict()
    save_checkpoint(shipped / "resnet8-elsewhere.safetensors", weights, config, SPEC, {"epoch": 1, "step": 9})
    app = open_page(PAGE, language=language, run="resnet8-elsewhere")
    assert_healthy(app)
    assert len(app.error) == 1
    assert "cifar100" in app.error[0].value
    assert app.button(key="depth_start")
