"""Settings that make no sense are warned about where they make none, and only there; never refused."""

from typing import Any

import pytest

from resnet_core.config import RunConfig
from resnet_core.data import DATASETS
from resnet_core.fitness import RUN_WARNINGS, warnings_for
from resnet_core.presets import PRESETS

SENSELESS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # code: data set, what is warned about, what is not
    "stem_small_images": ("mnist", {"stem": "imagenet"}, {"stem": "small"}),
    "frozen_fresh": ("mnist", {"freeze_epochs": 1}, {"freeze_epochs": 1, "start_from": "pretrained"}),
    "frozen_always": ("mnist", {"freeze_epochs": 3, "start_from": "pretrained"}, {"freeze_epochs": 2, "start_from": "pretrained"}),
    "warmup_always": ("mnist", {"warmup_epochs": 3}, {"warmup_epochs": 2.9}),
    "patience_long": ("mnist", {"patience": 3}, {"patience": 2}),
    "step_long": ("mnist", {"schedule": "step", "step_epochs": 3}, {"schedule": "step", "step_epochs": 2}),
    "unfreeze_unused": (
        "mnist",
        {"unfreeze_learning_rate": 0.01},
        {"unfreeze_learning_rate": 0.01, "freeze_epochs": 1, "start_from": "pretrained"},
    ),
    "patience_frozen": (
        "mnist",
        {"freeze_epochs": 2, "patience": 2, "start_from": "pretrained"},
        {"freeze_epochs": 1, "patience": 2, "start_from": "pretrained"},
    ),
    "warmup_of_onecycle": ("mnist", {"warmup_factor": 0.5}, {"warmup_factor": 0.5, "schedule": "cosine", "warmup_epochs": 1}),
}


@pytest.mark.parametrize("code", RUN_WARNINGS)
def test_each_warning_speaks_where_it_should_and_not_next_to_it(code: str) -> None:
    dataset, warned, quiet = SENSELESS[code]
    spec = DATASETS[dataset].spec
    assert warnings_for(RunConfig.from_flat({"epochs": 3, **warned}), spec) == (code,)
    assert warnings_for(RunConfig.from_flat({"epochs": 3, **quiet}), spec) == ()
    assert RUN_WARNINGS[code].field in RunConfig().flat()


def test_presets_fit_their_own_data_and_are_warned_about_on_others() -> None:
    for preset in PRESETS.values():
        config = preset.config()
        if config.data.image_size is None:
            assert warnings_for(config, DATASETS[config.data.dataset].spec) == (), preset.name
    assert warnings_for(PRESETS["he2015-cifar"].config(), DATASETS["mnist"].spec) == ("flip_digits",)
    assert warnings_for(PRESETS["notes-finetune"].config(), DATASETS["mnist"].spec) == ("stem_small_images",)
