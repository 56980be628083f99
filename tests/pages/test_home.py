"""The first page: a digit inside a block, what is ready, where to go."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dashboard.components.names import network_label
from dashboard.i18n import sentences
from dashboard.navigation import SCREENS
from resnet_core.config import DataConfig
from resnet_core.data import load_split, normalize
from resnet_core.inspection import block_maps
from resnet_core.runs import Store, find_checkpoint, load_model, save_checkpoint, shipped_names
from resnet_core.runs.adopting import adopt_weights
from resnet_core.runs.degradation import Degradation, Trained, write_result
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.test_train import a_run, text_of


@pytest.fixture(autouse=True)
def _own_runs(own_runs: Path) -> None:
    """Each test has a store of its own."""


def test_the_sentence_holds_the_core_s_numbers(open_page: OpenPage, language: str) -> None:
    app = open_page("home", language=language, image="mnist-mini:test:18", block="stages.1.1")
    assert_healthy(app)
    checkpoint = find_checkpoint("resnet20-mnist")
    _, split = load_split(DataConfig(), "test")
    maps = block_maps(load_model(checkpoint), normalize(split.images[18:19], checkpoint.spec), "stages.1.1")
    assert maps.shortcut is not None
    ratio = np.linalg.norm(maps.residual) / np.linalg.norm(maps.shortcut)
    assert f"**{ratio:.2f}**" in text_of(app)


def test_a_digit_and_a_block_are_chosen_for_every_page(open_page: OpenPage) -> None:
    app = open_page("home")
    app.segmented_control(key="home_digit").set_value(7).run()
    app.select_slider(key="home_block").set_value("stages.2.2").run()
    assert_healthy(app)
    _, split = load_split(DataConfig(), "test")
    assert app.session_state["selected_image"] == f"mnist-mini:test:{int((split.labels == 7).nonzero()[0])}"
    assert app.session_state["selected_block"] == "stages.2.2"


def test_what_a_link_brought_stays(open_page: OpenPage) -> None:
    app = open_page("home", run="plain20-mnist", image="mnist-mini:test:5", block="stages.0.2")
    assert_healthy(app)
    assert app.session_state["selected_image"] == "mnist-mini:test:5"
    assert app.session_state["selected_block"] == "stages.0.2"
    assert "ReLU(F(x))" in text_of(app)  # a plain network has no shortcut to compare with


def test_a_link_to_what_is_not_here_leaves_the_page_whole(open_page: OpenPage, tmp_path: Path) -> None:
    app = open_page("home", image="mnist-mini:test:99999999")
    assert_healthy(app)
    assert app.session_state["home_digit"] == 3
    found = find_checkpoint("resnet20-mnist")
    gone = replace(found.config, data=replace(found.config.data, dataset=f"image-folder:{tmp_path / 'moved'}"))
    spec = replace(found.spec, name=gone.data.dataset)
    elsewhere = tmp_path / "elsewhere.safetensors"
    save_checkpoint(elsewhere, load_model(found).state_dict(), gone, spec, {})
    run = adopt_weights(Store(), elsewhere, None).run
    for name in (run.run, str(elsewhere)):  # its images were moved; a link opens no file
        app = open_page("home", run=name)
        assert_healthy(app)
        assert "ResNet-20" in text_of(app)
        assert app.segmented_control(key="home_digit")


@pytest.mark.parametrize(("cores", "words"), [(1, ("CPU, 1 core", "CPU，1 核")), (6, ("CPU, 6 cores", "CPU，6 核"))])
def test_the_machine_is_named_in_the_reader_s_language(
    open_page: OpenPage, language: str, monkeypatch: pytest.MonkeyPatch, cores: int, words: tuple[str, str]
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    said = text_of(open_page("home", language=language))
    assert f"{words[language == 'zh']}  \n" in said


def test_ready_networks_and_running_trainings_are_listed(open_page: OpenPage, language: str) -> None:
    a_run("finished", result={"test_accuracy": 0.9123, "test_images": 10_000, "seconds": 30.0, "tested": "last"})
    app = open_page("home", language=language)
    assert_healthy(app)
    assert "91.23%" in text_of(app)
    for checkpoint in map(find_checkpoint, shipped_names()):
        network = network_label(checkpoint.model_name).replace("-", "\u2011")
        assert f"{network}\u00a0{checkpoint.metrics['test_accuracy']:.2%}" in text_of(app)


def test_without_any_network_the_page_says_what_to_do(open_page: OpenPage, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("dashboard.components.home.live_block", "dashboard.components.home.readiness", "resnet_core.runs.opening"):
        monkeypatch.setattr(f"{place}.shipped_names", lambda: ())
    app = open_page("home", language=language)
    assert_healthy(app)
    assert sentences(language)["home.ready_none"] in text_of(app)


def test_every_other_page_is_one_click_away(open_page: OpenPage) -> None:
    app = open_page("home")
    shown = text_of(app)
    for screen in SCREENS.values():
        assert screen.name == "home" or sentences("en")[f"page.{screen.section}.lead"] in shown


def test_the_degradation_experiment_is_drawn_from_its_file(
    open_page: OpenPage, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {("resnet", 20): 0.8, ("resnet", 56): 0.7, ("plain", 20): 0.9, ("plain", 56): 1.25}
    rows = tuple(
        Trained(
            family=family,
            depth=depth,
            seed=0,
            train_loss=loss,
            train_accuracy=0.5,
            test_accuracy=1 - loss / 2,
            seconds=1.0,
            device="CPU",
            precision="float32",
        )
        for (family, depth), loss in losses.items()
    )
    file = tmp_path / "degradation.json"
    write_result(Degradation(dataset="cifar10-jpg", train_images=45_000, epochs=3, batch_size=128, rows=rows), file)
    monkeypatch.setattr("dashboard.components.home.degradation.RESULT", file)
    app = open_page("home", language=language)
    assert_healthy(app)
    said = sentences(language)["home.degradation_reproduced"]
    numbers = {"shallow": 20, "deep": 56, "plain_shallow": "0.90", "plain_deep": "1.25", "resnet_shallow": "0.80", "resnet_deep": "0.70"}
    assert said.format(**numbers) in text_of(app)
    drawn = []
    for element in app.get("vega_lite_chart"):
        (data,) = element.proto.datasets
        table = pa.ipc.open_stream(data.data.data).read_pandas()
        drawn.append(dict(zip(table["model"].str.cat(table["depth"].astype(str)), table["value"], strict=True)))
    assert drawn[0] == {f"{family}{depth}": loss for (family, depth), loss in losses.items()}
    assert drawn[1] == pytest.approx({name: loss / 2 for name, loss in drawn[0].items()})


def test_a_damaged_degradation_file_is_one_sentence(
    open_page: OpenPage, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "degradation.json"
    file.write_text("{")
    monkeypatch.setattr("dashboard.components.home.degradation.RESULT", file)
    app = open_page("home", language=language)
    (error,) = app.error
    assert str(file) in error.value
