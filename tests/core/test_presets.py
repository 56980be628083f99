"""Recipes by name against the words of their sources; docs/presets.md against the table."""

from pathlib import Path
from typing import Any

import pytest

from resnet_core.config import RunConfig, TrainConfig
from resnet_core.data import DATASETS
from resnet_core.errors import UserError
from resnet_core.models import get_entry
from resnet_core.presets import PRESETS, differences, get_preset, presets_document, shown
from resnet_core.training import schedule_curve, steps_per_epoch

DOCUMENT = Path(__file__).parents[2] / "docs" / "presets.md"
SOURCES: dict[str, dict[str, Any]] = {  # as the sources have them
    "notes-mnist-adam": {"model": "resnet18", "optimizer": "adam", "learning_rate": 1e-3, "epochs": 15, "batch_size": 128},
    "notes-cifar-steplr": {"step_epochs": 30, "gamma": 0.1, "schedule": "step", "valid_fraction": 0.2, "crop_padding": 4, "flip": True},
    "notes-cifar-sgd": {"momentum": 0.9, "schedule": "cosine", "weight_decay": 5e-4, "label_smoothing": 0.1},
    "notes-finetune": {
        "start_from": "pretrained", "freeze_epochs": 5, "unfreeze_learning_rate": 1e-4, "schedule": "plateau", "gamma": 0.5, "plateau_patience": 2,
        "epochs": 40, "rotation": 15.0,
    },
    "he2015-cifar": {"batch_size": 128, "weight_decay": 1e-4, "momentum": 0.9, "nesterov": False, "crop_padding": 4, "flip": True},
    "fast-cpu": {"model": "resnet20", "batch_size": 256, "nesterov": True, "momentum": 0.9, "schedule": "onecycle", "learning_rate": 0.3, "weight_decay": 5e-4},
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_source_says_and_was_written_for_its_data(name: str) -> None:
    preset, config = get_preset(name), get_preset(name).config()
    assert {key: config.flat()[key] for key in SOURCES[name]} == SOURCES[name]
    entry = DATASETS[config.data.dataset]
    assert preset.images == entry.train - round(entry.train * config.data.valid_fraction)
    assert get_entry(config.model.model)
    assert set(preset.settings) <= set(config.flat())
    assert preset.config(images=preset.images) == config, "its own data change nothing"


def test_the_notes_halve_adam_s_rate_every_five_epochs() -> None:
    curve = schedule_curve(PRESETS["notes-mnist-adam"].config().train, 10)
    assert curve[[0, 49, 50, 99, 100, 149]].tolist() == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])


@pytest.mark.parametrize("model", ["resnet20", "resnet110", "plain110"])
def test_he_2015_in_iterations(model: str) -> None:
    config = PRESETS["he2015-cifar"].config({"model": model})
    curve = schedule_curve(config.train, steps_per_epoch(45_000, config.train.batch_size))
    assert abs(len(curve) - 64_000) <= 352 / 2, "to the nearest epoch"
    climb = 400 if model.endswith("110") else 0
    for step, rate in (
        (0, 0.01 if climb else 0.1),
        (399, 0.01 if climb else 0.1),
        (400, 0.1),
        (31_900, 0.1),
        (32_100, 0.01),
        (48_100, 0.001),
    ):
        assert curve[step] == pytest.approx(rate), step


@pytest.mark.parametrize(("images", "batch"), [(8000, 128), (90_000, 128), (45_000, 64)])
def test_a_recipe_counted_in_iterations_gets_as_many_epochs_as_they_are(images: int, batch: int) -> None:
    for preset in (p for p in PRESETS.values() if p.iterations):
        config = preset.config({"batch_size": batch, "model": "resnet110"}, images=images)
        steps = steps_per_epoch(images, batch)
        assert abs(config.train.epochs * steps - (preset.iterations or 0)) <= steps / 2
        assert round(config.train.warmup_epochs * steps) == preset.warmup.get("resnet110", 0)


def test_what_a_person_sets_wins_over_the_recipe() -> None:
    recipe = PRESETS["he2015-cifar"]
    config = recipe.config({"epochs": 3, "flip": "no", "warmup_epochs": 0.5, "model": "resnet110", "device": "cpu"}, images=8000)
    assert (config.train.epochs, config.augment.flip, config.train.warmup_epochs) == (3, False, 0.5)
    found = {d.setting: (d.recipe, d.chosen) for d in differences(config, recipe.unchanged(config))}
    assert found == {"flip": (True, False), "epochs": (182, 3), "warmup_epochs": (400 / 352, 0.5)}
    with pytest.raises(UserError, match="batch_size must be"):
        recipe.config({"batch_size": 0})


def test_a_misspelt_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean he2015-cifar"):
        get_preset("he2015_cifar")


def test_the_document_is_the_table_and_its_settings_are_those_of_the_command_line() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == presets_document(), "python -m resnet_core presets --markdown > docs/presets.md"
    for preset in PRESETS.values():
        config = preset.config()
        again = {d.setting: shown(d.chosen) for d in differences(config, RunConfig())}
        assert RunConfig.from_flat({**again, "dataset": config.data.dataset}) == config


def test_constant_warm_up_stays_below_and_jumps() -> None:
    curve = schedule_curve(TrainConfig(schedule="constant", warmup_shape="constant", warmup_epochs=1.4, learning_rate=0.5, epochs=3), 5)
    assert curve.tolist() == pytest.approx([0.05] * 7 + [0.5] * 8)
