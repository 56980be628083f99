"""The Runs page without a browser: the table, its filters, and what can be done with a run."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from dashboard.components.formats import literal
from dashboard.components.runs.details import _archive, _event_files, _metrics_csv
from dashboard.i18n import sentences
from resnet_core.config import ModelConfig, RunConfig
from resnet_core.data import DATASETS
from resnet_core.models import build_model, original_spec
from resnet_core.runs import Store, find_checkpoint, import_run, read_epochs, read_steps, shipped_names
from resnet_core.runs.adopting import adopt_weights
from resnet_core.runs.opening import SHIPPED as CHECKPOINTS
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.test_train import a_run, text_of


@pytest.fixture(autouse=True)
def _own_runs(own_runs: Path) -> None:
    """Each test has a store of its own."""


def test_an_empty_store_shows_what_came_with_the_project(open_page: OpenPage, language: str) -> None:
    app = open_page("runs", language=language)
    assert_healthy(app)
    assert sentences(language)["runs.none"] in text_of(app)
    table = app.dataframe[0].value
    assert list(table["name"]) == list(shipped_names())
    for name, accuracy, size in zip(table["name"], table["test"], table["size"], strict=True):
        assert f"{accuracy:.2f}%" in (CHECKPOINTS / f"{name}.md").read_text(encoding="utf-8")
        assert 1e6 * size == (CHECKPOINTS / f"{name}.safetensors").stat().st_size


def test_the_card_of_a_shipped_network_is_there_when_asked_for(open_page: OpenPage, language: str) -> None:
    app = open_page("runs", language=language)
    card = (CHECKPOINTS / "plain56-mnist.md").read_text(encoding="utf-8").strip()
    assert card not in text_of(app)
    app.selectbox(key="runs_shipped_card").set_value("plain56-mnist").run()
    assert_healthy(app)
    assert card in text_of(app)


def test_a_damaged_shipped_network_takes_none_of_the_others_away(open_page: OpenPage, shipped: Path, language: str) -> None:
    shutil.copy(CHECKPOINTS / "resnet20-mnist.safetensors", shipped / "whole.safetensors")
    (shipped / "broken.safetensors").write_bytes((shipped / "whole.safetensors").read_bytes()[:-100])
    app = open_page("runs", language=language)
    assert_healthy(app)
    assert len(app.error) == 1
    assert "broken" in app.error[0].value
    assert list(app.dataframe[0].value["name"]) == ["whole"]


def test_the_table_has_every_run_and_its_numbers(open_page: OpenPage, language: str) -> None:
    a_run("finished")
    a_run("stopped")
    app = open_page("runs", language=language)
    assert_healthy(app)
    table = app.dataframe[0].value
    assert list(table["valid"]) == pytest.approx([61.25, 61.25])
    assert list(table["status"]) == [sentences(language)[f"status.{status}"] for status in ("stopped", "finished")]


def test_filters_leave_what_they_say(open_page: OpenPage) -> None:
    store = Store()
    store.rename(a_run("finished"), "blue whale")
    store.annotate(a_run("failed"), "too hot")
    app = open_page("runs")
    app.text_input(key="runs_search").set_value("HOT").run()
    assert list(app.dataframe[0].value["note"]) == ["too hot"]
    app.text_input(key="runs_search").set_value("").run()
    app.button_group(key="runs_status").set_value(["finished"]).run()
    assert list(app.dataframe[0].value["name"]) == ["blue whale"]
    app.text_input(key="runs_search").set_value("nothing like it").run()
    assert_healthy(app)
    assert sentences("en")["runs.none_match"] in text_of(app)


def test_a_run_is_renamed_and_noted(open_page: OpenPage) -> None:
    run = a_run("finished")
    app = open_page("runs")
    app.text_input(key=f"runs_name_{run}").set_value("first try")
    app.text_area(key=f"runs_note_{run}").set_value("with rotation").run()
    assert_healthy(app)
    assert (Store().run(run).name, Store().run(run).note) == ("first try", "with rotation")


def test_a_run_without_a_name_is_called_by_its_id(open_page: OpenPage) -> None:
    run = a_run("finished")
    app = open_page("runs")
    app.text_input(key=f"runs_name_{run}").set_value("first try").run()
    app.text_input(key=f"runs_name_{run}").set_value("  ").run()
    assert_healthy(app)
    assert Store().run(run).name == run
    assert app.text_input(key=f"runs_name_{run}").value == run


def test_a_name_is_no_markdown(open_page: OpenPage) -> None:
    store, name = Store(), "**a** $b$ :smile: [c](http://d) # e"
    store.rename(a_run("finished"), name)
    (heading,) = [found.value for found in open_page("runs").subheader if "smile" in found.value]
    assert re.sub(r"\\(.)", r"\1", heading) == name
    assert not re.search(r"(?<!\\)[*$:\[\]#]", heading)


def tick(app: AppTest, row: int) -> None:
    """As if a person had ticked this row alone."""
    (key,) = (str(name) for name in app.session_state._state.filtered_state if str(name).startswith("runs_table_"))
    app.session_state[key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    app.run()


def test_the_chosen_run_stays_chosen_among_other_rows(open_page: OpenPage) -> None:
    store = Store()
    first, _, third = (a_run("finished") for _ in range(3))
    store.rename(first, "blue whale")
    store.rename(third, "blue tit")
    app = open_page("runs")
    tick(app, 2)  # the newest is first
    assert app.text_input(key=f"runs_name_{first}").value == "blue whale"
    app.text_input(key="runs_search").set_value("blue").run()
    assert app.text_input(key=f"runs_name_{first}").value == "blue whale"
    app.text_input(key="runs_search").set_value("resnet8").run()
    assert app.session_state["runs_chosen"] == [first]


def test_a_second_press_of_delete_meets_no_other_run(open_page: OpenPage, language: str) -> None:
    first, second = a_run("finished"), a_run("finished")
    app = open_page("runs", language=language)
    tick(app, 0)
    app.button(key="runs_delete").click().run()
    assert_healthy(app)
    assert not [button for button in app.button if button.key == "runs_delete"]
    tick(app, 0)
    app.button(key="runs_delete").click().run()
    assert Store().runs() == ()
    for run in (first, second):  # each for itself
        app.button(key=f"runs_undo_{run}").click().run()
    assert_healthy(app)
    assert {run.run for run in Store().runs()} == {first, second}


def test_a_run_that_has_its_turn_by_now_is_not_deleted(open_page: OpenPage, language: str) -> None:
    run = a_run("queued")
    app = open_page("runs", language=language)
    assert Store().claim("cpu", run) is not None  # after the page was drawn
    app.button(key="runs_delete").click().run()
    assert_healthy(app)
    assert [toast.value for toast in app.toast]
    assert Store().exists(run)
    assert not [button for button in app.button if button.key and button.key.startswith("runs_undo")]


def test_deleting_can_be_undone(open_page: OpenPage) -> None:
    run = a_run("finished")
    app = open_page("runs")
    app.button(key="runs_delete").click().run()
    assert not Store().exists(run)
    app.button(key=f"runs_undo_{run}").click().run()
    assert_healthy(app)
    assert Store().run(run).status == "finished"


def test_deleting_for_good_takes_the_files(open_page: OpenPage, own_runs: Path) -> None:
    run = a_run("finished")
    (own_runs / run).mkdir(exist_ok=True)
    app = open_page("runs")
    app.button(key="runs_delete").click().run()
    app.button(key=f"runs_purge_{run}").click().run()
    assert not (own_runs / run).exists()


def test_a_run_that_was_deleted_in_another_window_can_still_be_brought_back(open_page: OpenPage) -> None:
    """A reload begins a new session; the files take room until somebody removes them."""
    run = a_run("finished")
    Store().delete(run)
    app = open_page("runs")
    assert_healthy(app)
    app.button(key=f"runs_undo_{run}").click().run()
    assert Store().run(run).status == "finished"
    assert not [button for button in app.button if button.key == f"runs_undo_{run}"]


def test_a_run_says_how_it_was_trained_and_trains_so_again(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig.from_flat({"model": "resnet20", "rotation": 7.0, "train_limit": 300, "batch_size": 64})
    a_run("finished", config=config.to_json())
    opened: list[str] = []
    monkeypatch.setattr("streamlit.switch_page", opened.append)
    app = open_page("runs")
    words = sentences("en")
    (shown,) = (table.value for table in app.table)
    assert [shown.iloc[:, 0][words[f"setting.{setting}.label"]] for setting in ("rotation", "train_limit", "batch_size")] == [
        "7",
        "300",
        "64",
    ]
    assert shown.iloc[:, 1][words["setting.train_limit.label"]] == words["form.none_train_limit"]
    app.button(key="runs_again").click().run()
    assert opened == ["pages/train.py"]
    assert app.session_state["train_rotation"] == 7.0
    assert app.session_state["train_batch_size"] == 64
    assert app.session_state["train_models"] == ["resnet20"]


# -- what comes from elsewhere ----------------------------------------------------------------------------------------------------------


def weights_file(model: nn.Module, prefix: str = "") -> bytes:
    file = io.BytesIO()
    torch.save({f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}, file)
    return file.getvalue()


def test_a_network_of_one_s_own_is_opened_on_every_page(open_page: OpenPage, language: str) -> None:
    words = sentences(language)
    app = open_page("runs", language=language)
    model = build_model(ModelConfig(model="resnet20"), DATASETS["mnist-mini"].spec, seed=5)
    app.file_uploader(key="runs_import").set_value(("my-resnet20.ckpt", weights_file(model, "model."), "application/octet-stream")).run()
    assert app.selectbox(key="runs_import_network").value == "resnet20", "the file's name says it"
    app.selectbox(key="runs_import_dataset").set_value("mnist-mini")
    app.button(key="runs_import_start").click().run()
    assert_healthy(app)
    (run,) = Store().runs()
    assert run.is_imported
    assert words["runs.import_kept"].format(name=literal("my-resnet20"), kept=len(model.state_dict())) in text_of(app)
    assert list(app.dataframe[0].value["epoch"]) == [words["runs.imported_row"]]
    inside = open_page("residual-blocks", language=language, run=run.run)
    assert_healthy(inside)
    assert not inside.warning
    assert words["pick.imported"] in str(inside.selectbox(key="run_picker").options)
    train = open_page("train", language=language)
    assert words["train.nothing_yet"] in text_of(train), "nothing was trained"


def test_a_network_for_data_that_is_not_here_has_something_to_look_at(open_page: OpenPage, language: str, tmp_path: Path) -> None:
    """ImageNet's thousand classes and its images are nowhere: blocks are looked at on others, and what needs labels says why not."""
    config = ModelConfig(model="resnet18", width=0.25)
    (tmp_path / "resnet18.pth").write_bytes(weights_file(build_model(config, original_spec("resnet18"))))
    run = adopt_weights(Store(), tmp_path / "resnet18.pth", config).run
    app = open_page("residual-blocks", language=language, run=run.run)
    assert_healthy(app)
    assert not app.error
    assert len(app.get("plotly_chart")) > 1
    assert "material/close" not in text_of(app), "airplane is none of its classes, so its answer is neither right nor wrong"
    app = open_page("gradients", language=language, run=run.run)
    assert_healthy(app)
    expected = sentences(language)["error.checkpoint_classes"].format(name=run.run, have=1000, dataset="cifar10-jpg-sample", need=10)
    assert expected in [error.value for error in app.error]


def test_a_link_opens_no_file_and_says_how_to_bring_it(open_page: OpenPage, language: str) -> None:
    path = str(CHECKPOINTS / "plain20-mnist.safetensors")
    app = open_page("residual-blocks", language=language, run=path)
    assert_healthy(app)
    assert [warning.value for warning in app.warning] == [sentences(language)["error.link_opens_no_files"].format(value=path)]


def test_a_file_that_is_no_network_of_ours_is_one_sentence(open_page: OpenPage, language: str) -> None:
    app = open_page("runs", language=language)
    model = build_model(ModelConfig(model="resnet8"), DATASETS["mnist-mini"].spec)
    app.file_uploader(key="runs_import").set_value(("net.pth", weights_file(model), "application/octet-stream")).run()
    assert app.button(key="runs_import_start").disabled, "nobody knows yet which network it is"
    app.selectbox(key="runs_import_network").set_value("resnet20")
    app.run()
    app.button(key="runs_import_start").click().run()
    assert_healthy(app)
    (error,) = app.error
    assert "net.pth" in error.value
    assert "/tmp" not in error.value
    assert not Store().runs()


@pytest.mark.parametrize("name", shipped_names())
def test_a_downloaded_checkpoint_of_ours_needs_no_question(open_page: OpenPage, name: str) -> None:
    """However much its history says before it says whose it is."""
    app = open_page("runs")
    content = (CHECKPOINTS / f"{name}.safetensors").read_bytes()
    app.file_uploader(key="runs_import").set_value((f"{name}.safetensors", content, "application/octet-stream")).run()
    assert_healthy(app)
    (run,) = Store().runs()
    assert run.test_accuracy == find_checkpoint(name).metrics["test_accuracy"]


def test_the_metrics_are_the_store_s(own_runs: Path) -> None:
    run = Store().run(a_run("finished"))
    header, row = _metrics_csv(run).splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    stored = read_epochs(Store(), run.run)[0]
    assert {key: float(values[key]) for key in ("epoch", "train_loss", "valid_accuracy")} == {
        "epoch": stored.epoch,
        "train_loss": stored.train_loss,
        "valid_accuracy": stored.valid_accuracy,
    }


def test_everything_opens_on_another_machine(own_runs: Path, tmp_path: Path) -> None:
    run = Store().run(a_run("finished"))
    other = Store(tmp_path / "elsewhere")
    arrived = import_run(other, io.BytesIO(_archive(run)))
    assert arrived.config == run.config
    assert read_epochs(other, arrived.run) == read_epochs(Store(), run.run)


def test_several_runs_show_the_settings_in_which_they_differ(open_page: OpenPage) -> None:
    store = Store()
    first = a_run("finished")
    second = store.create(RunConfig.from_flat({"model": "resnet8", "epochs": 2, "learning_rate": 0.05, "compile": True}), "cpu").run
    store.update(second, status="stopped")
    app = AppTest.from_function(_difference_of, args=([first, second],), default_timeout=30).run()
    assert not app.exception
    table = app.table[0].value
    assert next(iter(table.index)) == sentences("en")["setting.learning_rate.label"]
    assert len(table) == 3  # the rate, compiled or not, and the test accuracy
    words = sentences("en")
    assert table.loc[words["setting.compile.label"]].tolist() == [words["form.false"], words["form.true"]], (
        "as everywhere, not as Python has it"
    )


def _difference_of(runs: list[str]) -> None:
    from dashboard.components.runs.details import show_details
    from dashboard.loading import store

    show_details([store().run(run) for run in runs])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the reader's own
def test_curves_for_tensorboard_come_as_a_zip(tmp_path: Path) -> None:
    """Written by a process of its own, and read by TensorBoard."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs the extra: tensorboard")
    run = a_run("finished")
    with zipfile.ZipFile(io.BytesIO(_event_files(Store().run(run)))) as archive:
        assert all(name.startswith(f"{run}/events.out.tfevents.") for name in archive.namelist())
        archive.extractall(tmp_path)
    reader = accumulator.EventAccumulator(str(tmp_path / run), size_guidance={"scalars": 0})
    reader.Reload()
    assert [point.step for point in reader.Scalars("step/train_loss")] == read_steps(Store(), run).step
