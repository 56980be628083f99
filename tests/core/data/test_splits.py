"""Training, validation and test images: stratified, seeded, apart from one another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_core.config import DataConfig
from resnet_core.data import catalog
from resnet_core.data.catalog import load_split, load_splits
from resnet_core.data.source import Part
from resnet_core.data.spec import Split
from resnet_core.data.splits import proportional, some_images, split_indices, spread
from resnet_core.errors import UserError


def cut(labels: Tensor, **settings: object) -> tuple[Tensor, Tensor]:
    return split_indices(labels, DataConfig(**settings), "these")  # type: ignore[arg-type]


@pytest.fixture
def labels() -> Tensor:
    """1,000 labels of four classes: 500, 300, 150 and 50, mixed."""
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    return torch.repeat_interleave(torch.arange(4), torch.tensor([500, 300, 150, 50]))[order]


def test_stratified_disjoint_and_whole(labels: Tensor) -> None:
    train, valid = cut(labels, valid_fraction=0.2)
    assert torch.bincount(labels[valid]).tolist() == [100, 60, 30, 10]
    assert torch.bincount(labels[train]).tolist() == [400, 240, 120, 40]
    assert torch.equal(torch.cat([train, valid]).sort().values, torch.arange(1000))


def test_in_the_data_sets_own_order(labels: Tensor) -> None:
    for indices in cut(labels):
        assert (indices.diff() > 0).all()


def test_the_seed_decides_and_nothing_else_does(labels: Tensor) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = cut(labels, split_seed=5)
    torch.manual_seed(2)
    np.random.seed(2)
    again, other = cut(labels, split_seed=5), cut(labels, split_seed=6)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[1], other[1])


def test_the_split_is_the_same_on_every_machine() -> None:
    """Written down once: a change would let runs that go on train on images they were validated on."""
    train, valid = cut(torch.arange(10).repeat(4), valid_fraction=0.25)
    assert len(train) == 30
    assert valid.tolist() == [3, 4, 7, 9, 12, 20, 25, 26, 31, 38]


@pytest.mark.parametrize("limit", [2, 7, 100, 799, 800, 5000])
def test_a_limit_leaves_validation_alone_and_keeps_proportions(limit: int, labels: Tensor) -> None:
    _, valid = cut(labels)
    limited, same = cut(labels, train_limit=limit)
    assert torch.equal(valid, same)
    assert len(limited) == min(limit, 800)
    shares = torch.bincount(labels[limited], minlength=4) - len(limited) * torch.tensor([0.5, 0.3, 0.15, 0.05])
    assert shares.abs().max() < 1
    assert set(limited.tolist()) <= set(cut(labels)[0].tolist())


def test_a_larger_limit_only_adds_images(labels: Tensor) -> None:
    smaller, larger = cut(labels, train_limit=100)[0], cut(labels, train_limit=400)[0]
    assert set(smaller.tolist()) < set(larger.tolist())


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.9])
def test_of_two_images_or_more_one_goes_to_each_side(fraction: float) -> None:
    labels = torch.tensor([0] * 200 + [1, 1] + [2])
    train, valid = cut(labels, valid_fraction=fraction)
    assert {0, 1} <= set(labels[valid].tolist())
    assert {0, 1, 2} == set(labels[train].tolist())


def test_too_few_images() -> None:
    for labels in ([], [0], [0, 1, 2]):
        with pytest.raises(UserError) as caught:
            cut(torch.tensor(labels, dtype=torch.int64))
        assert caught.value.code == "too_few_images"
        assert caught.value.values["count"] == len(labels)


@pytest.mark.parametrize("total", range(0, 25, 4))
def test_proportional_is_the_largest_remainder(total: int) -> None:
    counts = np.array([11, 7, 5, 1])
    shares = proportional(counts, total)
    assert shares.sum() == min(total, 24)
    assert (shares <= counts).all()
    assert np.abs(shares - counts * min(total, 24) / 24).max() < 1


def test_images_are_spread_over_a_split_that_is_sorted_by_class() -> None:
    labels = torch.arange(10).repeat_interleave(77)
    found = spread(len(labels), 64)
    assert len(found) == 64
    assert (found.diff() > 0).all()
    assert ((labels[found].bincount(minlength=10) - 6.4).abs() < 1.5).all()
    assert spread(5, 64).tolist() == [0, 1, 2, 3, 4]
    assert spread(0, 64).tolist() == []


def test_some_images_are_different_seeded_and_in_order() -> None:
    some = some_images(50, 20, 3)
    assert len(set(some.tolist())) == 20
    assert (some.diff() > 0).all()
    assert torch.equal(some, some_images(50, 20, 3))
    assert not torch.equal(some, some_images(50, 20, 4))
    assert some_images(5, 20, 3).tolist() == [0, 1, 2, 3, 4]


@pytest.fixture
def parts_read(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """Which official parts of mnist-mini are read from now on."""
    entry, read = catalog.DATASETS["mnist-mini"], []

    def spy(root: Path, part: Part) -> Split:
        read.append(part)
        return entry.read(root, part)

    monkeypatch.setitem(catalog.DATASETS, "mnist-mini", replace(entry, read=spy))
    return read


def test_the_test_part_is_read_when_asked_for_and_once(parts_read: list[Part]) -> None:
    splits = load_splits(DataConfig())
    assert len(splits.train) == 8000
    assert len(splits.valid) == 2000
    assert parts_read == ["train"]
    first = splits.test
    assert splits.test is first
    assert parts_read == ["train", "test"]


def test_one_split_reads_its_own_part_only(parts_read: list[Part]) -> None:
    load_split(DataConfig(), "valid")
    load_split(DataConfig(), "train")
    assert parts_read == ["train", "train"]
    load_split(DataConfig(), "test")
    assert parts_read == ["train", "train", "test"]


def test_one_split_alone_is_the_same_as_among_all() -> None:
    config = DataConfig(split_seed=3, valid_fraction=0.1, train_limit=500)
    splits = load_splits(config)
    for name in ("train", "valid", "test"):
        spec, alone = load_split(config, name)
        together: Split = getattr(splits, name)
        assert spec == splits.spec
        assert torch.equal(alone.images, together.images)
        assert torch.equal(alone.labels, together.labels)
    assert len(splits.train) == 500
