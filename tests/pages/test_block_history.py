"""The panel "Over training" and what the strip says beside its bars: charts against the store's rows, in both languages."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.blocks.history import KeptCheckpoint, nearest_checkpoint
from dashboard.i18n import sentences
from resnet_core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import load_spec, load_split, normalize, some_images
from resnet_core.inspection import BlockStatistics, formula_stds, residual_statistics
from resnet_core.models import build_model
from resnet_core.runs import Store, find_checkpoint, load_model, read_blocks, save_checkpoint
from resnet_core.runs.metrics import RunWriter
from resnet_core.training.events import BlocksMeasured, RunStarted
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.test_residual_blocks import bars, chart

PAGE = "residual-blocks"
SPEC = load_spec(DataConfig())
NAMES = ("stages.0.0", "stages.1.0", "stages.2.0")


@pytest.fixture(autouse=True)
def _pair(shipped: Path) -> None:
    """A residual network and its plain twin came with the project."""
    for model in ("resnet8", "plain8"):
        save(shipped / f"{model}-tiny.safetensors", config_of(model), step=9)


def config_of(model: str = "resnet8", **changes: Any) -> RunConfig:
    return RunConfig(model=ModelConfig(model=model, width=0.5), train=TrainConfig(epochs=3, **changes))


def save(path: Path, config: RunConfig, *, step: int, seed: int = 1) -> None:
    save_checkpoint(path, build_model(config.model, SPEC, seed=seed).state_dict(), config, SPEC, {"epoch": step // 63, "step": step})


def recorded(step: int, *, plain: bool = False) -> tuple[BlockStatistics, ...]:
    """Numbers that no other step or block has."""
    return tuple(
        BlockStatistics(
            name=name, stage=place, block=1, residual_norm=step + place, shortcut_norm=None if plain else 1.0, output_norm=10.0 * step + place,
            ratio=None if plain else step / 100 + place, ratio_spread=None if plain else 0.1, cosine=None if plain else -place / 10,
            cosine_spread=None if plain else 0.1, residual_std=step / 1000 + place, dead_share=place / 10,
        )
        for place, name in enumerate(NAMES, start=1)
    )  # fmt: skip


def a_run(status: str = "finished", *, steps: tuple[int, ...] = (10, 20, 63), model: str = "resnet8", **changes: Any) -> str:
    """A run with recordings at these steps, and checkpoints at steps 0, 63 and 189."""
    store, config = Store(), config_of(model, **changes)
    run = store.create(config, "cpu").run
    writer = RunWriter(store, run)
    writer.write(
        RunStarted(
            step=0, epochs=3, steps_per_epoch=63, total_steps=189, parameters=1, trainable=1, device="CPU", precision="float32",
            memory_format="contiguous", train_images=8000, valid_images=2000,
        )
    )  # fmt: skip
    for step in steps:
        writer.write(BlocksMeasured(step=step, block_statistics=recorded(step, plain=model.startswith("plain"))))
    writer.set(status=status)
    writer.close()
    for which, step in (("first", 0), ("epoch-1", 63), ("last", 189)):
        save(store.run(run).folder / f"{which}.safetensors", config, step=step)
    return run


def cells(app: AppTest) -> list[dict[str, Any]]:
    (element,) = app.get("vega_lite_chart")
    (data,) = element.proto.datasets
    return pa.ipc.open_stream(data.data.data).read_pandas().to_dict("records")  # type: ignore[no-any-return]


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption)


@pytest.mark.parametrize("measure", ["ratio", "cosine", "residual_std", "output_norm", "dead_share"])
def test_the_cells_are_the_store_s_rows(open_page: OpenPage, measure: str) -> None:
    run = a_run()
    app = open_page(PAGE, run=run, panel="history")
    app.segmented_control(key="history_measure").set_value(measure).run()
    assert_healthy(app)
    drawn = {(cell["step"], cell["name"]): cell["value"] for cell in cells(app)}
    kept = read_blocks(Store(), run)
    assert drawn == {(step, block.name): getattr(block, measure) for step, blocks in kept.items() for block in blocks}
    assert len(drawn) == 9


def test_words_of_a_run_with_recordings(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run=a_run(probe_every=10), panel="history")
    assert_healthy(app)
    words, said = sentences(language), captions(app)
    assert words["history.each_steps"].format(every=10, images=64) in said
    assert words["history.cost"].format(share="1.9%") in said  # 1 + 6 recordings of 64 images, for 3 passes of 8,000
    assert words["history.read"] in said
    assert words["pick.epoch"].format(epoch=1) in said
    size = sum(file.stat().st_size for file in Store().root.rglob("*.safetensors")) / 1e6
    assert f" {size:.1f} MB" in said


def test_the_default_cadence_is_named(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run=a_run(), panel="history")
    assert sentences(language)["history.each_epoch"].format(images=64) in captions(app)
    assert sentences(language)["history.cost"].format(share="0.3%") in captions(app)


def test_a_plain_run_offers_no_ratio_and_no_cosine(open_page: OpenPage) -> None:
    app = open_page(PAGE, run=a_run(model="plain8"), panel="history")
    assert_healthy(app)
    words = sentences("en")
    offered = app.segmented_control(key="history_measure").options
    assert offered == [words[f"blocks.{name}"] for name in ("residual_std", "output_norm", "dead_share")]
    assert {cell["value"] for cell in cells(app)} == {step / 1000 + place for step in (10, 20, 63) for place in (1, 2, 3)}


@pytest.mark.parametrize(("status", "sentence"), [("finished", "history.none"), ("paused", "history.waiting")])
def test_a_run_without_recordings_says_so(open_page: OpenPage, language: str, status: str, sentence: str) -> None:
    app = open_page(PAGE, language=language, run=a_run(status, steps=()), panel="history")
    assert_healthy(app)
    assert sentences(language)[sentence] in captions(app)
    assert not app.get("vega_lite_chart")


def test_a_shipped_network_says_that_it_has_none(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet8-tiny", panel="history")
    assert_healthy(app)
    assert sentences(language)["history.shipped"].format(name="resnet8-tiny") in captions(app)


def test_a_shipped_network_shows_what_its_file_recorded(open_page: OpenPage, shipped: Path, language: str) -> None:
    config, steps = config_of(), (0, 63, 189)
    blocks = {step: [asdict(block) for block in recorded(step)] for step in steps}
    weights = build_model(config.model, SPEC, seed=1).state_dict()
    save_checkpoint(shipped / "resnet8-tiny.safetensors", weights, config, SPEC, {"epoch": 3, "step": 189, "history": {"blocks": blocks}})
    app = open_page(PAGE, language=language, run="resnet8-tiny", panel="history")
    assert_healthy(app)
    drawn = {(cell["step"], cell["name"]): cell["value"] for cell in cells(app)}
    assert drawn == {(step, block.name): block.ratio for step in steps for block in recorded(step)}
    assert sentences(language)["history.each_epoch"].format(images=64) in captions(app)


@pytest.mark.parametrize(
    ("step", "which", "at"), [(1, "first", 0), (31, "first", 0), (32, "epoch-1", 63), (125, "epoch-1", 63), (126, "last", 189)]
)
def test_the_nearest_checkpoint(step: int, which: str, at: int) -> None:
    run = Store().run(a_run())
    assert nearest_checkpoint(run, step) == KeptCheckpoint(which=which, step=at)


def test_of_checkpoints_equally_near_the_result_is_opened_and_damaged_ones_are_passed_over() -> None:
    run = Store().run(a_run())
    save(run.folder / "epoch-3.safetensors", run.config, step=189)
    assert nearest_checkpoint(run, 180) == KeptCheckpoint(which="last", step=189)
    (run.folder / "last.safetensors").write_bytes(b"no weights")
    assert nearest_checkpoint(run, 180) == KeptCheckpoint(which="epoch-3", step=189)


# -- the strip --------------------------------------------------------------------------------------------------------------------


def marks(app: AppTest, name: str) -> list[dict[str, Any]]:
    return [trace for trace in chart(app, "block_strip")["data"] if trace.get("mode") == "markers" and trace["name"] == name]


def test_the_std_by_gamma_and_beta_stands_beside_the_measured_one(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet8-tiny")
    label = sentences(language)["blocks.formula"]
    assert not marks(app, label)
    app.pills(key="strip_measures").set_value(["ratio", "residual_std"]).run()
    assert_healthy(app)
    (found,) = marks(app, label)
    assert found["y"] == pytest.approx(list(formula_stds(load_model(find_checkpoint("resnet8-tiny"))).values()))
    assert found["yaxis"] == bars(app)[1]["yaxis"]
    assert sentences(language)["blocks.strip_formula"] in captions(app)


def test_the_twin_is_measured_on_the_same_images_when_asked(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet8-tiny")
    app.pills(key="strip_measures").set_value(["ratio", "residual_norm"]).run()
    app.number_input(key="strip_count").set_value(20).run()
    assert not marks(app, "Plain-8")
    app.toggle(key="strip_twin").set_value(True).run()
    assert_healthy(app)
    _, split = load_split(DataConfig(), "test")
    images = normalize(split.take(some_images(len(split), 20, 0)).images, SPEC)
    expected = residual_statistics(load_model(find_checkpoint("plain8-tiny")), images)
    ratio, norm = marks(app, "Plain-8")
    assert ratio["y"] == [None] * 3
    assert norm["y"] == pytest.approx([block.residual_norm for block in expected], rel=1e-6)
    assert norm["showlegend"]


def test_without_a_twin_there_is_no_toggle(open_page: OpenPage, shipped: Path) -> None:
    (shipped / "plain8-tiny.safetensors").unlink()
    app = open_page(PAGE, run="resnet8-tiny")
    assert_healthy(app)
    assert "strip_twin" not in {toggle.key for toggle in app.toggle}


def test_the_csv_holds_the_formula_and_the_twin() -> None:
    from dashboard.components.blocks.strip import _csv, _Measured

    blocks, plain = recorded(10), recorded(20, plain=True)
    text = _csv(_Measured(trained=blocks, initial=recorded(0), formula=(0.5, None, 0.25), twin=plain)).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == list(NAMES)
    assert [row["residual_std_formula"] for row in rows] == ["0.5", "", "0.25"]
    assert [float(row["twin_output_norm"]) for row in rows] == [block.output_norm for block in plain]
    assert [float(row["initial_ratio"]) for row in rows] == [1.0, 2.0, 3.0]
