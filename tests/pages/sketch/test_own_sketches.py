"""A person's own set of sketches: kept, judged, forgotten, learnt from."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from dashboard.i18n import sentences
from dashboard.sketch_input import Drawing
from resnet_core.config import RunConfig
from resnet_core.data import DATASETS
from resnet_core.data.sketch import prepare_sketch
from resnet_core.data.sketches import keep_sketch, sketches
from resnet_core.models import build_model
from resnet_core.prediction import ask
from resnet_core.runs import Store, find_checkpoint, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.sketch.drawing import DRAWN, SEVEN, picture, said


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
