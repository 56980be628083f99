"""What a data set is without its pixels."""

import json

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from resnet_core.data.catalog import DATASETS
from resnet_core.data.spec import DataSpec, Split, denormalize, normalize


@pytest.fixture(params=["mnist", "cifar10"])
def spec(request: pytest.FixtureRequest) -> DataSpec:
    return DATASETS[request.param].spec


@pytest.fixture
def images(spec: DataSpec) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, spec.channels, spec.height, spec.width), dtype=torch.uint8, generator=generator)


def test_normalize_as_torchvision(spec: DataSpec, images: torch.Tensor) -> None:
    scaled = reference.to_dtype(images, torch.float32, scale=True)
    expected = reference.normalize(scaled, list(spec.mean), list(spec.std))
    torch.testing.assert_close(normalize(images, spec), expected)
    torch.testing.assert_close(normalize(scaled, spec), expected)


def test_denormalize_is_the_way_back(spec: DataSpec, images: torch.Tensor) -> None:
    back = denormalize(normalize(images, spec), spec)
    torch.testing.assert_close(back, images / 255)
    assert torch.equal((back * 255).round().to(torch.uint8), images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_type_that_is_asked_for(dtype: torch.dtype, spec: DataSpec, images: torch.Tensor) -> None:
    result = normalize(images, spec, dtype)
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), normalize(images, spec), atol=0.03, rtol=0.02)


def test_the_input_is_left_as_it_was(spec: DataSpec, images: torch.Tensor) -> None:
    scaled = images / 255
    before = scaled.clone()
    denormalize(normalize(scaled, spec), spec)
    assert torch.equal(scaled, before)


def test_a_spec_survives_json(spec: DataSpec) -> None:
    assert DataSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_every_known_spec_is_sound() -> None:
    for name, entry in DATASETS.items():
        spec = entry.spec
        assert spec.name == name
        assert len(spec.mean) == len(spec.std) == spec.channels
        assert len(set(spec.classes)) == len(spec.classes)
        assert all(0 < value < 1 for value in (*spec.mean, *spec.std))


def test_taking_from_a_split() -> None:
    split = Split(images=torch.arange(5).view(5, 1, 1, 1), labels=torch.arange(10, 15))
    some = split.take(torch.tensor([3, 1]))
    assert some.images.flatten().tolist() == [3, 1]
    assert some.labels.tolist() == [13, 11]
    assert (len(split), len(some)) == (5, 2)
