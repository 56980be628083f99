"""Experiments below the picture of a block: closed ones cost nothing, open ones show the core's numbers, in both languages."""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dashboard.i18n import sentences
from dashboard.measuring import lesion_count
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import Split, load_spec, load_split, some_images
from resnet_core.inspection import decisions, fit_probes, lesion_accuracies, swapped
from resnet_core.models import build_model
from resnet_core.runs import Store, find_checkpoint, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "residual-blocks"
SPEC = load_spec(DataConfig())
LESION_IMAGES, PROBE_IMAGES = 120, 200  # fewer than a person gets: the tests are about the same numbers, not about precise ones


def save(path: Path, model: str) -> None:
    config = RunConfig(model=ModelConfig(model=model, width=0.25))
    save_checkpoint(path, build_model(config.model, SPEC, seed=1).state_dict(), config, SPEC, {"epoch": 3, "step": 9})


@pytest.fixture(autouse=True)
def pair(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (
        "measuring",
        "components.blocks.lesions",
        "components.blocks.decision",
        "components.blocks.verdicts",
    ):
        monkeypatch.setattr(f"dashboard.{module}.LESION_IMAGES", LESION_IMAGES)
    for module in ("measuring", "components.blocks.decision"):
        monkeypatch.setattr(f"dashboard.{module}.PROBE_IMAGES", PROBE_IMAGES)
    for model in ("resnet14", "plain14"):
        save(shipped / f"{model}-tiny.safetensors", model)
    return shipped


def chart(app: AppTest, column: str) -> list[dict[str, Any]]:
    """Rows of the one Altair chart whose data have this column, such as one that holds `place` and `value`."""
    tables = [
        pa.ipc.open_stream(data.data.data).read_pandas().to_dict("records")
        for element in app.get("vega_lite_chart")
        for data in element.proto.datasets
    ]
    (found,) = [table for table in tables if column in table[0]]
    return found  # type: ignore[no-any-return]


def until_done(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    end = time.monotonic() + 60
    while any(button.key == f"{key}_stop" for button in app.button) and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    assert_healthy(app)


def expected(name: str, off: tuple[str, ...] = (), order: tuple[str, ...] | None = None) -> float:
    found = find_checkpoint(name)
    _, split = load_split(DataConfig(), "test")
    images = split.take(some_images(len(split), LESION_IMAGES, 0))
    return lesion_accuracies(load_model(found), images, found.spec, [off], order=order)[0].accuracy


def test_a_closed_panel_measures_nothing(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.measuring.lesion_accuracies", lambda *_, **__: 1 / 0)
    app = open_page(PAGE, run="resnet14-tiny")
    assert_healthy(app)
    assert not app.metric


def test_switches_show_the_core_s_numbers_for_both_networks(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet14-tiny", panel="lesion")
    assert_healthy(app)
    assert [metric.label for metric in app.metric] == ["ResNet-14", "Plain-14"]
    assert [metric.value for metric in app.metric] == [f"{expected(f'{m}14-tiny'):.1%}" for m in ("resnet", "plain")]
    assert app.metric[0].delta == sentences(language)["lesion.unchanged"]
    app.pills(key="lesion_stage_1").set_value(["stages.0.1"]).run()
    app.pills(key="lesion_stage_3").set_value(["stages.2.0"]).run()
    assert_healthy(app)
    off = ("stages.0.1", "stages.2.0")
    for metric, name in zip(app.metric, ("resnet14-tiny", "plain14-tiny"), strict=True):
        changed, whole = expected(name, off), expected(name)
        assert metric.value == f"{changed:.1%}"
        assert f"{100 * (changed - whole):+.1f}" in metric.delta
    app.button(key="lesion_reset").click().run()
    assert app.metric[0].delta == sentences(language)["lesion.unchanged"]


def test_swapped_and_repeated(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet14-tiny", panel="lesion")
    app.selectbox(key="lesion_swap").set_value("stages.0.0").run()
    app.selectbox(key="lesion_swap_with").set_value("stages.0.1").run()
    app.number_input(key="lesion_repeat").set_value(3).run()
    assert_healthy(app)
    names = tuple(f"stages.{stage}.{block}" for stage in range(3) for block in range(2))
    order = (*swapped(names, "stages.0.0", "stages.0.1"), "stages.2.1", "stages.2.1")
    assert app.metric[0].value == f"{expected('resnet14-tiny', order=order):.1%}"


def test_choices_that_another_network_lacks_are_forgotten(open_page: OpenPage, pair: Path) -> None:
    save(pair / "resnet8-tiny.safetensors", "resnet8")
    app = open_page(PAGE, run="resnet14-tiny", panel="lesion")
    app.pills(key="lesion_stage_1").set_value(["stages.0.1"]).run()
    app.selectbox(key="lesion_swap").set_value("stages.0.0").run()
    app.number_input(key="lesion_repeat").set_value(2).run()
    app.selectbox(key="run_picker").set_value("resnet8-tiny").run()
    assert_healthy(app)
    assert [metric.label for metric in app.metric] == ["ResNet-8"]  # it has no twin here
    assert app.metric[0].value == f"{expected('resnet8-tiny'):.1%}"


def test_studies_on_request(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="plain14-tiny", panel="lesion")
    until_done(app, "lesion_alone")
    bars = {(row["network"], row["block"]): row["accuracy"] for row in chart(app, "block")}
    assert bars[("Plain-14", "2.1")] == expected("plain14-tiny", ("stages.1.0",))
    assert bars[("ResNet-14", "3.2")] == expected("resnet14-tiny", ("stages.2.1",))
    assert len(bars) == 12


def test_a_study_can_be_stopped(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*_: Any, progress: Any, **__: Any) -> None:
        for done in range(1000):
            progress(done, 1000)
            time.sleep(0.02)

    monkeypatch.setattr("dashboard.components.blocks.lesions.lesion_accuracies", slowly)
    app = open_page(PAGE, run="resnet14-tiny", panel="lesion")
    app.button(key="lesion_random").click().run()
    app.button(key="lesion_random_stop").click().run()
    for _ in range(100):
        if "lesion_random_stop" not in [button.key for button in app.button]:
            break
        time.sleep(0.1)
        app.run()
    assert_healthy(app)
    assert app.button(key="lesion_random").label
    assert "lesion_random_stop" not in [button.key for button in app.button]


# -- decisions --------------------------------------------------------------------------------------------------------------------


def test_decisions_are_the_core_s(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet14-tiny", image="mnist-mini:test:7", panel="decision")
    until_done(app, "decision_start")
    found, test = find_checkpoint("resnet14-tiny"), load_split(DataConfig(), "test")[1]
    training = load_split(DataConfig(), "train")[1]
    probes = fit_probes(load_model(found), training.take(some_images(len(training), PROBE_IMAGES, 0)), SPEC)
    whole = decisions(load_model(found), test.take(some_images(len(test), LESION_IMAGES, 0)), SPEC, probes)
    read = {(row["network"], row["block"]): row["read"] for row in chart(app, "read")}
    assert [read[("ResNet-14", f"{b.stage}.{b.block}")] for b in whole.blocks] == [b.accuracy for b in whole.blocks]
    assert {network for network, _ in read} == {"ResNet-14", "Plain-14"}
    one = decisions(load_model(found), test.take(torch.tensor([7])), SPEC, probes)
    bars = chart(app, "final")
    final = one.answers[0, -1]
    assert [row["final"] for row in bars] == pytest.approx(one.probabilities[0, :, final].tolist(), abs=1e-6)
    assert [row["decided"] for row in bars].index(True) == one.decided[0]
    words, decided = sentences(language), whole.decided < len(whole.blocks) - 1
    said = words["decision.set_read"].format(
        network="ResNet-14", early=f"{100 * decided.mean():.0f}%", lost=whole.right_then_wrong, count=LESION_IMAGES
    )
    assert any(said in caption.value for caption in app.caption)


# -- verdicts ---------------------------------------------------------------------------------------------------------------------


def test_verdicts_of_a_planted_fault(open_page: OpenPage, language: str, pair: Path) -> None:
    found = find_checkpoint("resnet14-tiny")
    weights = load_model(found).state_dict()
    for part in ("weight", "bias"):
        weights[f"stages.1.1.residual.norm2.{part}"].zero_()
    save_checkpoint(pair / "resnet14-tiny.safetensors", weights, found.config, SPEC, {"epoch": 3, "step": 9})
    app = open_page(PAGE, language=language, run="resnet14-tiny", panel="verdict")
    until_done(app, "verdict_start")
    words = sentences(language)
    said = " ".join(markdown.value for markdown in app.markdown)
    block = words["pick.block_name"].format(stage=2, block=2)
    assert words["verdict.heading"].format(place=block, title=words["verdict.gamma_title"]) in said
    assert app.dataframe
    number = next(b.key for b in app.button if b.key and b.key.startswith("verdict_open"))
    app.button(key=number).click().run()
    assert_healthy(app)
    assert app.query_params["block"].startswith("stages.")


def test_of_a_smaller_test_split_all_images_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Split(images=torch.zeros(80, 1, 28, 28, dtype=torch.uint8), labels=torch.zeros(80, dtype=torch.int64))
    monkeypatch.setattr("dashboard.measuring.labelled_images", lambda checkpoint, dataset, split: (SPEC, few))
    assert lesion_count(find_checkpoint("resnet14-tiny"), "mnist-mini") == len(few)


def test_removing_a_block_makes_a_run_that_can_be_opened_and_trained_further(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet14-tiny", panel="lesion", block="stages.1.1")
    app.pills(key="lesion_stage_2").set_value(["stages.1.0"]).run()
    assert app.button(key="lesion_remove").disabled  # it changes the shape
    app.pills(key="lesion_stage_2").set_value(["stages.1.1"]).run()
    app.button(key="lesion_remove").click().run()
    assert_healthy(app)
    (run,) = Store().runs()
    assert run.name == "resnet14-tiny − 2.2"
    assert run.result["measured_images"] == LESION_IMAGES
    assert run.result["accuracy_before"] == expected("resnet14-tiny")
    assert run.result["accuracy_after"] == expected("resnet14-tiny", ("stages.1.1",)) == expected(run.run)
    app.button(key="removed_train").click().run()
    assert_healthy(app)
    assert app.multiselect(key="train_models").value == ["resnet14"]
    assert app.selectbox(key="train_start_from").value == run.run
    assert app.text_input(key="train_removed_blocks").value == "stages.1.1"
    assert app.number_input(key="train_learning_rate").value == pytest.approx(0.01)
    assert not app.button(key="train_start").disabled
    app.switch_page("pages/residual-blocks.py").run()
    app.button(key="removed_open").click().run()
    assert_healthy(app)
    assert app.query_params["run"] == run.run
    assert "stages.1.1" not in app.selectbox(key="block_picker").options
    assert app.query_params.get("block") is None
