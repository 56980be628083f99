"""The Train page without a browser: what it offers, what it starts, what it says of trainings in every state."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.formats import duration
from dashboard.i18n import sentences
from dashboard.loading import open_checkpoint
from resnet_core.config import PARTS, RunConfig
from resnet_core.runs import Store
from resnet_core.runs.metrics import RunWriter
from resnet_core.runs.process import this_process
from resnet_core.training.events import EpochDone, RunStarted, StepDone
from tests.pages.conftest import OpenPage, assert_healthy


@pytest.fixture(autouse=True)
def _own_runs(own_runs: Path) -> None:
    """Each test has a store of its own."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[RunConfig]]:
    """What Start hands to the queue; nothing is spawned."""
    handed: list[list[RunConfig]] = []

    def start(store: Store, configs: list[RunConfig]) -> tuple[Any, ...]:
        handed.append(configs)
        return tuple(store.create(config, "cpu") for config in configs)

    monkeypatch.setattr("dashboard.components.training.start.start", start)
    monkeypatch.setattr("dashboard.components.training.view.dispatch", lambda store: ())
    return handed


def a_run(status: str, **columns: Any) -> str:
    """A run with two steps and an epoch in the store."""
    store = Store()
    run = store.create(RunConfig.from_flat({"model": "resnet8", "epochs": 2}), "cpu").run
    writer = RunWriter(store, run)
    writer.write(
        RunStarted(
            step=0, epochs=2, steps_per_epoch=63, total_steps=126, parameters=1, trainable=1, device="CPU", precision="float32",
            memory_format="contiguous", timings={}, train_images=8000, valid_images=2000,
        )
    )  # fmt: skip
    for step in (1, 2):
        norms = {"stem": 1.0, "stages.0": 0.5, "head": 0.1}
        writer.write(StepDone(step=step, epoch=1, loss=2.0 / step, learning_rate=0.1, images_per_second=500.0, stage_gradient_norms=norms))
    writer.write(
        EpochDone(
            epoch=1, step=63, train_loss=1.0, train_accuracy=0.5, valid_loss=0.9, valid_accuracy=0.6125, learning_rate=0.1,
            images_per_second=500.0, seconds=16.0, best=True, trainable=1,
        )
    )  # fmt: skip
    writer.set(status=status, **columns)
    writer.close()
    return run


def held_here() -> dict[str, Any]:
    """Columns of a run that this very process holds, so that it counts as alive."""
    mark = this_process()
    return {"host": mark.host, "pid": mark.pid, "pid_start": mark.start}


def text_of(app: AppTest) -> str:
    return " ".join(str(item.value) for kind in (app.markdown, app.caption, app.error, app.info, app.metric) for item in kind)


def test_the_first_visit_offers_a_pair_and_says_what_it_costs(open_page: OpenPage, language: str) -> None:
    app = open_page("train", language=language)
    assert_healthy(app)
    assert app.multiselect(key="train_models").value == ["resnet20", "plain20"]
    assert app.selectbox(key="train_dataset").value == "mnist-mini"
    assert app.number_input(key="train_epochs").value == RunConfig().train.epochs
    assert "269,434 / 269,434" in text_of(app)  # the twin has exactly as many
    assert sentences(language)["train.nothing_yet"] in text_of(app)


def test_how_long_it_will_take(open_page: OpenPage, language: str) -> None:
    """A step is tried of what was never trained here; else the last run tells."""
    sentence, known = sentences(language)["train.cost_time_guessed"], sentences(language)["train.cost_time"]
    epochs = RunConfig().train.epochs
    assert sentence.format(time=duration(2 * 8000 * epochs / 100)) in text_of(open_page("train", language=language))
    a_run("finished")
    app = open_page("train", language=language, networks="resnet8")
    assert_healthy(app)
    assert known.format(time=duration(8000 * epochs / 500)) in text_of(app)
    assert sentence.split("{time}")[1] not in text_of(app)


def test_a_process_stands_by_where_a_training_may_begin(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("dashboard.components.training.start.stand_by", lambda: asked.append("here"))
    open_page("train", networks="resnet8")
    assert asked
    asked.clear()
    a_run("running", **held_here())
    open_page("train", networks="resnet8")
    assert not asked, "another one trains"


def test_each_experiment_has_charts_of_its_own(open_page: OpenPage) -> None:
    """A chart that stays zoomed in while it grows must not hand its zoom on: there another one may have no curve."""

    def charts(app: AppTest) -> list[str]:
        return [chart.proto.id for chart in app.get("vega_lite_chart") if chart.proto.id]  # the schedule's has none

    first, second = a_run("finished"), a_run("finished")
    app = open_page("train")
    app.selectbox(key="train_watch").set_value(first).run()
    before = charts(app)
    assert len(before) == 5
    assert charts(app.run()) == before
    app.selectbox(key="train_watch").set_value(second).run()
    assert not set(charts(app)) & set(before)


def test_nothing_is_tried_beside_a_training(open_page: OpenPage) -> None:
    a_run("running", **held_here())
    app = open_page("train", networks="resnet14")
    assert_healthy(app)
    assert "on this machine" not in text_of(app)
    assert "on this machine" in text_of(open_page("train", networks="resnet8")), "its own speed is known"


def test_start_says_what_it_starts(open_page: OpenPage, language: str) -> None:
    app = open_page("train", language=language, networks="resnet8,plain8")
    assert app.button(key="train_start").label == sentences(language)["train.start_named"].format(names="resnet8 + plain8")


@pytest.mark.usefixtures("real_speeds")
def test_a_few_steps_are_tried_of_a_network_that_never_trained_here(open_page: OpenPage) -> None:
    app = open_page("train", networks="resnet8")
    assert_healthy(app)
    assert sentences("en")["train.cost_time_guessed"].split("{time}")[0] in text_of(app)


def test_a_network_whose_step_takes_long_has_no_guess(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.components.training.form.guessed_speed", lambda model, shape, classes, cores: None)
    app = open_page("train")
    assert_healthy(app)
    assert "on this machine" not in text_of(app)


def test_the_first_visit_shows_how_the_shipped_networks_learned(open_page: OpenPage) -> None:
    app = open_page("train")
    specs = [json.loads(element.proto.spec) for element in app.get("vega_lite_chart")]
    error = next(spec for spec in specs if "shipped_view" in str(spec))
    assert {layer["encoding"]["y"]["scale"]["type"] for layer in error["layer"]} == {"log"}
    (chart,) = (element for element in app.get("vega_lite_chart") if json.loads(element.proto.spec) == error)
    tables = [pa.ipc.open_stream(data.data.data).read_pandas() for data in chart.proto.datasets]
    drawn = pd.concat(tables).query("curve == 'plain56-mnist'")["y"]
    for row in open_checkpoint("plain56-mnist").metrics["history"]["epochs"]:
        for split in ("train", "valid"):
            assert any(abs(value - (1 - row[f"{split}_accuracy"])) < 1e-9 for value in drawn)


def test_experiments_of_one_minute_are_told_apart(open_page: OpenPage) -> None:
    """The select box tells its options apart by their labels alone: the watched one would be the other."""
    older, newer = a_run("stopped", created=1e9), a_run("stopped", created=1e9 + 1)
    app = open_page("train")
    box = app.selectbox(key="train_watch")
    assert len(set(box.options)) == 2
    for run in (older, newer):
        box = app.selectbox(key="train_watch").set_value(run).run()
        assert app.selectbox(key="train_watch").value == run
    assert_healthy(app)


def test_taking_out_of_the_queue_spares_a_run_that_has_its_turn(open_page: OpenPage, started: object) -> None:
    run = a_run("queued")
    app = open_page("train")
    store = Store()
    assert store.claim("cpu", run) is not None  # after the page was drawn
    app.button(key=f"train_out_{run}").click().run()
    assert_healthy(app)
    writer = RunWriter(store, run)
    assert writer.commands() == []
    writer.close()


def test_a_stopped_pair_is_told_by_the_network_that_had_its_turn(open_page: OpenPage, language: str) -> None:
    a_run("stopped", pair="one")
    writer = RunWriter(Store(), Store().create(RunConfig.from_flat({"model": "plain8"}), "cpu").run)
    writer.set(status="stopped", pair="one")
    writer.close()
    app = open_page("train", language=language)
    assert_healthy(app)
    assert app.metric[0].value != "–"


def test_start_hands_the_form_to_the_queue(open_page: OpenPage, started: list[list[RunConfig]]) -> None:
    app = open_page("train")
    app.number_input(key="train_epochs").set_value(7)
    app.number_input(key="train_rotation").set_value(12.5)
    app.selectbox(key="train_schedule").set_value("cosine")
    app.run()
    app.button(key="train_start").click().run()
    assert_healthy(app)
    assert [config.model.model for config in started[0]] == ["resnet20", "plain20"]
    for config in started[0]:
        assert config == RunConfig.from_flat({"model": config.model.model, "epochs": 7, "rotation": 12.5, "schedule": "cosine"})


def test_every_setting_has_its_widget_and_shows_its_default(open_page: OpenPage) -> None:
    app = open_page("train")
    keys = {widget.key for kind in (app.number_input, app.selectbox, app.toggle, app.text_input) for widget in kind}
    for part in PARTS.values():
        for name in part.settings():
            assert f"train_{name}" in keys or name == "model", name


def test_changing_the_language_keeps_the_form(open_page: OpenPage) -> None:
    app = open_page("train")
    app.number_input(key="train_epochs").set_value(9).run()
    app.segmented_control(key="language").set_value("zh").run()
    assert_healthy(app)
    assert app.number_input(key="train_epochs").value == 9


def test_a_lone_network_is_offered_its_twin(open_page: OpenPage) -> None:
    app = open_page("train")
    app.multiselect(key="train_models").set_value(["plain14"]).run()
    app.button(key="train_add_twin").click().run()
    assert_healthy(app)
    assert app.multiselect(key="train_models").value == ["plain14", "resnet14"]


def test_no_network_cannot_be_started(open_page: OpenPage) -> None:
    app = open_page("train")
    app.multiselect(key="train_models").set_value([]).run()
    assert app.button(key="train_start").disabled


def test_a_missing_folder_is_one_sentence(open_page: OpenPage, language: str) -> None:
    app = open_page("train", language=language)
    app.selectbox(key="train_dataset").set_value("image-folder").run()
    assert not app.error
    assert sentences(language)["train.no_folder"] in [caption.value for caption in app.caption], "none is typed yet"
    app.text_input(key="train_folder").set_value("/no/such/folder").run()
    assert_healthy(app)
    assert sentences(language)["error.folder_missing"].format(path="/no/such/folder") in [error.value for error in app.error]
    assert app.button(key="train_start").disabled


def test_an_absent_data_set_can_be_downloaded_not_started(open_page: OpenPage) -> None:
    app = open_page("train")
    app.selectbox(key="train_dataset").set_value("cifar10").run()
    assert_healthy(app)
    assert app.button(key="train_start").disabled
    assert "170 MB" in app.button(key="train_download").label


def test_flipping_digits_is_warned_about(open_page: OpenPage, language: str) -> None:
    app = open_page("train", language=language)
    app.toggle(key="train_flip").set_value(True).run()
    assert sentences(language)["warning.flip_digits"] in [warning.value for warning in app.warning]


@pytest.mark.parametrize(
    ("status", "pause", "resume", "stop"),
    [
        ("paused", False, True, True),
        ("finished", False, False, False),
        ("stopped", False, True, False),
        ("interrupted", False, True, False),
    ],
)
def test_commands_fit_the_state(open_page: OpenPage, status: str, pause: bool, resume: bool, stop: bool) -> None:
    a_run(status, **held_here())
    app = open_page("train")
    assert_healthy(app)
    assert [not app.button(key=f"train_{name}").disabled for name in ("pause", "resume", "stop")] == [pause, resume, stop]
    assert "61.25%" in text_of(app)


def test_a_failed_run_says_why_in_the_reader_s_language(open_page: OpenPage, language: str) -> None:
    values = {"value": "nan", "step": 17, "learning_rate": 1000.0}
    a_run("failed", error_code="loss_not_finite", error_values=values)
    app = open_page("train", language=language)
    assert_healthy(app)
    assert sentences(language)["error.loss_not_finite"].format(**values) in text_of(app)
    assert app.button(key="train_resume").disabled  # it would only come back


def test_a_damaged_store_is_one_sentence(open_page: OpenPage, own_runs: Path) -> None:
    own_runs.mkdir(parents=True)
    (own_runs / "runs.sqlite").write_bytes(b"no database" * 200)
    app = open_page("train")
    assert_healthy(app)
    assert any("cannot be read" in error.value for error in app.error)
