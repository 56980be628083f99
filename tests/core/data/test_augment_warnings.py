"""Settings of augmentation that make no sense for the data at hand."""

import pytest

from resnet_core.config import AugmentConfig
from resnet_core.data.augment_warnings import AUGMENT_WARNINGS, augment_warnings
from resnet_core.data.catalog import DATASETS

CASES = [
    ("flip_digits", "mnist", {"flip": True}, {"flip": False}),
    ("rotation_digits", "mnist", {"rotation": 46}, {"rotation": 45}),
    ("thickness_colour", "cifar10", {"thickness": 0.5}, {"thickness": 0}),
    ("thickness_large", "mnist", {"thickness": 1.8}, {"thickness": 1.7}),
    ("crop_large", "mnist", {"crop_padding": 8}, {"crop_padding": 7}),
    ("cutout_large", "cifar10", {"cutout": 23}, {"cutout": 22}),
    ("elastic_large", "mnist", {"elastic": 2.1}, {"elastic": 2.0}),
]


@pytest.mark.parametrize(("code", "dataset", "too_much", "fine"), CASES)
def test_each_warning_comes_when_it_should(code: str, dataset: str, too_much: dict[str, float], fine: dict[str, float]) -> None:
    spec = DATASETS[dataset].spec
    assert augment_warnings(AugmentConfig(**too_much), spec) == (code,)  # type: ignore[arg-type]
    assert augment_warnings(AugmentConfig(**fine), spec) == ()  # type: ignore[arg-type]


def test_every_warning_has_its_case_and_names_its_field() -> None:
    assert {case[0] for case in CASES} == set(AUGMENT_WARNINGS)
    for code, _, too_much, _ in CASES:
        assert AUGMENT_WARNINGS[code].field in AugmentConfig.settings()
        assert set(too_much) == {AUGMENT_WARNINGS[code].field}


def test_flipping_is_fine_for_clothes_and_photographs() -> None:
    for name in ("fashion-mnist", "cifar10", "cifar100"):
        assert augment_warnings(AugmentConfig(flip=True, rotation=90), DATASETS[name].spec) == ()


def test_defaults_never_warn() -> None:
    for entry in DATASETS.values():
        assert augment_warnings(AugmentConfig(), entry.spec) == ()
