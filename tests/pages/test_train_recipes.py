"""Train before the start: recipes and what was changed of them, wrong values at their fields, finder, pictures, the queue, other weights."""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from dashboard.components.formats import literal
from dashboard.components.training import finder
from dashboard.components.training.pictures import _grid
from dashboard.i18n import sentences
from resnet_core.config import PARTS, RunConfig
from resnet_core.presets import NOT_OF_A_RECIPE, PRESETS
from resnet_core.runs import Store
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.test_train import a_run, held_here, started, text_of  # noqa: F401 - a fixture

IMAGES = 8000  # of mnist-mini's training split


@pytest.fixture(autouse=True)
def _own_runs(own_runs: Path) -> None:
    """Each test has a store of its own."""


# -- recipes ---------------------------------------------------------------------------------------------------------------------------


def test_a_recipe_fills_the_form_and_what_is_changed_of_it_is_shown(
    open_page: OpenPage,
    started: list[list[RunConfig]],  # noqa: F811
    language: str,
) -> None:
    words = sentences(language)
    app = open_page("train", language=language)
    app.selectbox(key="train_preset").set_value("he2015-cifar").run()
    assert_healthy(app)
    assert words["preset.he2015_cifar.purpose"] in text_of(app)
    assert words["recipe.unchanged"] in text_of(app)
    assert words["warning.flip_digits"] in [warning.value for warning in app.warning], "warned about on digits, not refused"
    app.number_input(key="train_epochs").set_value(2)
    app.toggle(key="train_flip").set_value(False).run()
    epochs = PRESETS["he2015-cifar"].config(images=9000).train.epochs
    shown = text_of(app)
    for name, old, new in (("flip", words["form.true"], words["form.false"]), ("epochs", epochs, 2)):
        assert words["recipe.change"].format(setting=words[f"setting.{name}.label"], recipe=old, chosen=new) in shown
    app.button(key="train_start").click().run()
    expected = PRESETS["he2015-cifar"].config({"epochs": 2, "flip": False, "dataset": "mnist-mini"})
    assert [config for config in started[0] if config.model.model == "resnet20"] == [expected]
    app.button(key="train_preset_back").click().run()
    assert words["recipe.unchanged"] in text_of(app)
    assert app.number_input(key="train_epochs").value == epochs


@pytest.mark.parametrize("name", PRESETS)
def test_every_recipe_goes_through_the_form_unharmed(open_page: OpenPage, name: str) -> None:
    app = open_page("train")
    app.selectbox(key="train_preset").set_value(name).run()
    assert_healthy(app)
    config = PRESETS[name].config(images=9000 if PRESETS[name].config().data.valid_fraction == 0.1 else IMAGES)
    assert app.multiselect(key="train_models").value[0] == config.model.model
    widgets = {w.key: w.value for kind in (app.number_input, app.selectbox, app.toggle, app.text_input) for w in kind}
    for setting, value in config.flat().items():
        if setting not in (*NOT_OF_A_RECIPE, "model", "start_from") and not isinstance(value, tuple):
            assert widgets[f"train_{setting}"] == value, setting


# -- wrong values ------------------------------------------------------------------------------------------------------------------------

RANGED = [
    (name, limit, beyond)
    for part in PARTS.values()
    for name, rule in part.settings().items()
    for limit, beyond in ((rule.minimum, -1), (rule.maximum, 1))
    if limit is not None and name not in ("milestones",)
]


def test_every_number_out_of_its_range_is_one_sentence_at_its_field(open_page: OpenPage, language: str) -> None:
    """All of them wrong at once: below and above by turns."""
    app = open_page("train", language=language)
    kinds = {item.name: item.type for part in PARTS.values() for item in dataclasses.fields(part)}
    for beyond in (-1, 1):
        wrong = {name: limit + beyond * (1 if "int" in str(kinds[name]) else 0.5) for name, limit, side in RANGED if side == beyond}
        for name, value in wrong.items():
            app.number_input(key=f"train_{name}").set_value(value)
        app.run()
        assert_healthy(app)
        assert app.button(key="train_start").disabled
        said = [error.value for error in app.error]
        for name in wrong:
            label = sentences(language)[f"setting.{name}.label"]
            assert any(label in sentence for sentence in said), name
        for name in wrong:
            app.number_input(key=f"train_{name}").set_value(RunConfig().flat()[name])
        app.run()
    assert not app.error
    assert not app.button(key="train_start").disabled


def test_text_that_is_no_list_and_a_network_that_is_none(open_page: OpenPage, language: str) -> None:
    words = sentences(language)
    app = open_page("train", language=language)
    app.text_input(key="train_milestones").set_value("0.5, late").run()
    assert_healthy(app)
    assert any(words["setting.milestones.label"] in error.value and "late" in error.value for error in app.error)
    assert app.button(key="train_start").disabled
    app.text_input(key="train_milestones").set_value("0.5, 0.9")
    app.multiselect(key="train_models").set_value(["resnet20", "resnet21"]).run()
    assert [error.value for error in app.error] == [words["error.depth_not_6n_plus_2"].format(name="resnet21", value=21)], "said once"
    app.multiselect(key="train_models").set_value(["resnet20"])
    app.selectbox(key="train_precision").set_value("float16").run()
    assert any(words["setting.precision.label"] in error.value for error in app.error), "never on a CPU"


# -- other weights -----------------------------------------------------------------------------------------------------------------------


def test_what_other_weights_bring_is_said_before_the_start(open_page: OpenPage, language: str) -> None:
    words = sentences(language)
    app = open_page("train", language=language)
    app.multiselect(key="train_models").set_value(["resnet20"])
    app.selectbox(key="train_start_from").set_value("resnet20-mnist")
    app.number_input(key="train_freeze_epochs").set_value(1).run()
    assert_healthy(app)
    shown = text_of(app)
    assert words["transfer.kept_all"].format(name="resnet20", total=97) in shown
    assert words["transfer.trains"].format(name="resnet20", trainable="650", epochs=1) in shown, "64 x 10 weights and 10 biases"
    app.multiselect(key="train_models").set_value(["resnet14"]).run()
    assert any("resnet20-mnist" in error.value and "resnet14" in error.value for error in app.error)
    assert app.button(key="train_start").disabled
    app.selectbox(key="train_start_from").set_value("pretrained").run()
    assert words["error.pretrained_unavailable"].format(model="resnet14") in [error.value for error in app.error]


# -- the queue ------------------------------------------------------------------------------------------------------------------------------


def test_waiting_runs_are_moved_and_taken_out(open_page: OpenPage) -> None:
    store = Store()
    busy = a_run("running", **held_here())
    first, second, third = (store.create(RunConfig.from_flat({"model": name}), "cpu").run for name in ("resnet8", "resnet14", "resnet20"))

    def order() -> list[str]:
        return [r.run for r in sorted(store.runs(), key=lambda r: r.position or 0) if r.status == "queued"]

    app = open_page("train")
    assert_healthy(app)
    assert sentences("en")["waiting.behind"].format(device="CPU", name=literal(busy)) in text_of(app)
    assert not app.get("popover")[0].proto.popover.disabled
    assert app.button(key=f"train_up_{first}").disabled
    assert app.button(key=f"train_down_{third}").disabled
    app.button(key=f"train_up_{third}").click().run()
    assert order() == [first, third, second]
    app.button(key=f"train_down_{first}").click().run()
    assert order() == [third, first, second]
    app.button(key=f"train_out_{first}").click().run()
    assert_healthy(app)
    assert order() == [third, second]
    assert store.run(first).status == "stopped"
    assert store.run(busy).status == "running"


def test_a_paused_run_is_said_to_keep_its_device(open_page: OpenPage, language: str) -> None:
    busy = a_run("paused", **held_here())
    Store().create(RunConfig.from_flat({"model": "resnet8"}), "cpu")
    app = open_page("train", language=language)
    assert_healthy(app)
    assert sentences(language)["waiting.behind_paused"].format(device="CPU", name=literal(busy)) in text_of(app)
    assert sentences(language)["waiting.behind"].format(device="CPU", name=literal(busy)) not in text_of(app)


def test_the_queue_keeps_its_place_where_nobody_waits(open_page: OpenPage, language: str) -> None:
    a_run("finished")
    app = open_page("train", language=language)
    (button,) = (
        found.proto.popover
        for found in app.get("popover")
        if found.proto.popover.label == sentences(language)["waiting.open"].format(count=0)
    )
    assert button.disabled


# -- the finder ------------------------------------------------------------------------------------------------------------------------------


def fake_find_lr(monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]) -> None:
    """A process that says these lines."""
    script = f"import json\nfor event in json.loads({json.dumps(events)!r}): print(json.dumps(event))"
    real = finder.subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        assert command[1:4] == ["-m", "resnet_core", "find-lr"]
        return real([sys.executable, "-c", script], **options)

    monkeypatch.setattr(finder.subprocess, "Popen", popen)


def swept(app: AppTest) -> None:
    app.session_state["train_finder"] = True
    app.run()
    app.button(key="train_find_lr").click().run()
    for _ in range(100):
        if not any("find_lr_stop" in str(button.key) for button in app.button):
            break
        app.run()
    app.run()


def test_the_suggested_rate_goes_into_the_form(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [{"event": "step", "step": i, "steps": 3, "learning_rate": 10.0**-i, "loss": 2.0, "smoothed": 2.0} for i in (3, 2, 1)]
    fake_find_lr(monkeypatch, [*steps, {"event": "end", "suggestion": 0.034567, "exploded": False}])
    app = open_page("train")
    swept(app)
    assert_healthy(app)
    assert sentences("en")["finder.read"].format(rate="0.035") in text_of(app)
    app.button(key="train_use_rate").click().run()
    assert app.number_input(key="train_learning_rate").value == 0.035


def test_what_goes_wrong_in_the_sweep_is_one_sentence(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_find_lr(monkeypatch, [{"event": "error", "code": "out_of_memory", "values": {"batch_size": 64, "suggestion": 32}}])
    app = open_page("train")
    swept(app)
    assert sentences("en")["error.out_of_memory"].format(batch_size=64, suggestion=32) in [error.value for error in app.error]


# -- pictures ----------------------------------------------------------------------------------------------------------------------------------


def test_the_images_before_and_after(open_page: OpenPage) -> None:
    words = sentences("en")
    app = open_page("train")
    app.session_state["train_pictures"] = True
    app.run()
    assert_healthy(app)
    assert words["pictures.unchanged"] in text_of(app)
    app.number_input(key="train_rotation").set_value(20.0).run()
    assert words["pictures.read"].format(seed=0) in text_of(app)


def test_a_grid_keeps_every_pixel_and_its_place() -> None:

    images = torch.rand(11, 1, 5, 4)
    grid = _grid(images)
    times = -(-640 // (8 * 5 - 1))
    assert grid.shape == ((2 * 6 - 1) * times, (8 * 5 - 1) * times, 3)
    tenth = grid[6 * times :: times, 2 * 5 * times :: times][:5, :4]
    assert np.array_equal(tenth, (images[10, 0] * 255).round().byte().numpy()[..., None].repeat(3, 2))


@pytest.mark.slow
def test_a_real_sweep_is_heard_step_by_step_and_ends_with_its_process_when_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = []
    real = finder.subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> Any:
        processes.append(real(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(finder.subprocess, "Popen", popen)
    config = RunConfig.from_flat(
        {"model": "resnet8", "width": 0.25, "batch_size": 16, "train_limit": 256, "precision": "float32", "device": "cpu"}
    )
    heard: list[int] = []
    found = finder._work(config)(lambda done, total: heard.append(done))
    assert sorted(set(heard))[0] == 0
    assert len(found.losses) == len(found.smoothed) == len(found.learning_rates) > 20
    assert found.learning_rates[0] == pytest.approx(1e-5)

    class Unwanted(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 2:
            raise Unwanted

    with pytest.raises(Unwanted):
        finder._work(config)(stop)
    assert [process.poll() is not None for process in processes] == [True, True]


def test_several_gpus_train_together_unless_told_otherwise(
    open_page: OpenPage,
    monkeypatch: pytest.MonkeyPatch,
    started: list[list[RunConfig]],  # noqa: F811
) -> None:
    """A machine with four GPUs, as far as the form can see."""
    form = "dashboard.components.training.form"
    for name, value in (
        ("pick_device", torch.device("cuda")),
        ("device_memory", (1, 2)),
        ("device_name", "GPU"),
        ("require_candidates", None),
    ):
        monkeypatch.setattr(f"{form}.{name}", lambda *arguments, value=value: value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    app = open_page("train")
    assert_healthy(app)
    assert app.toggle(key="train_all_gpus").value is True
    app.button(key="train_start").click().run()
    assert_healthy(app)
    app.toggle(key="train_all_gpus").set_value(False).run()
    app.button(key="train_start").click().run()
    assert [{config.train.processes for config in configs} for configs in started] == [{4}, {1}]


def test_a_recipe_warms_up_the_networks_that_it_says(open_page: OpenPage) -> None:
    """He et al. 2015 start ResNet-110 with 400 slow steps; a page that dropped the network, or the warm-up, would train something else."""
    preset = PRESETS["he2015-cifar"]
    wanted = preset.config({"model": "resnet110"}, images=9000).train.warmup_epochs
    assert wanted == pytest.approx(400 / math.ceil(9000 / 128))

    def warmup() -> float:
        return float(app.number_input(key="train_warmup_epochs").value)

    app = open_page("train")
    app.multiselect(key="train_models").set_value(["resnet110"]).run()
    app.selectbox(key="train_preset").set_value(preset.name).run()
    assert app.multiselect(key="train_models").value == ["resnet110"]
    assert warmup() == pytest.approx(wanted)
    app.multiselect(key="train_models").set_value(["resnet20"]).run()
    assert warmup() == 0
    app.multiselect(key="train_models").set_value(["resnet20", "plain110"]).run()
    assert warmup() == pytest.approx(wanted)
    app.number_input(key="train_warmup_epochs").set_value(2.0).run()
    app.multiselect(key="train_models").set_value(["resnet56"]).run()
    assert warmup() == 2.0, "a person's own"
    app.button(key="train_preset_back").click().run()
    assert app.multiselect(key="train_models").value == ["resnet56"]
    assert warmup() == 0
    assert_healthy(app)
