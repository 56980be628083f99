"""A folder that does not fit into memory is streamed: the same batches, bit for bit, and trainings that end with the same weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from resnet_core.config import RunConfig
from resnet_core.data import load_splits, normalize, open_source
from resnet_core.data.spec import Splits
from resnet_core.data.streaming import BUDGET, FileImages, image_budget, workers
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.training import StepDone, Training, evaluate

CPU = torch.device("cpu")


@pytest.fixture
def config(digits: str) -> Callable[..., RunConfig]:
    small = {"model": "resnet8", "width": 0.25, "batch_size": 40, "epochs": 2, "precision": "float32", "memory_format": "contiguous"}
    return lambda **changes: RunConfig.from_flat({**small, "dataset": digits, "device": "cpu", **changes})


def both(config: RunConfig, root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Splits, Splits]:
    """The same splits in memory and streamed; each decodes for itself."""
    monkeypatch.delenv(BUDGET, raising=False)
    inside = load_splits(config.data, root=root / "a")
    assert inside.test is not None
    monkeypatch.setenv(BUDGET, "1000")
    outside = load_splits(config.data, root=root / "b")
    assert isinstance(outside.train.images, FileImages)
    assert isinstance(outside.valid.images, FileImages)
    assert isinstance(outside.test.images, FileImages)
    return inside, outside


def test_what_is_streamed_is_what_lies_in_memory(config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics, labels, order of the split, and every way to index it."""
    inside, outside = both(config(), tmp_path, monkeypatch)
    assert outside.spec == inside.spec
    for ours, theirs in ((inside.train, outside.train), (inside.valid, outside.valid), (inside.test, outside.test)):
        assert torch.equal(ours.labels, theirs.labels)
        assert ours.images.shape == theirs.images.shape
        some = torch.tensor([5, 0, 5, len(ours) - 1])
        mask = ours.labels == 3
        for index in (0, -1, slice(3, 9), slice(None), some, mask):
            assert torch.equal(ours.images[index], theirs.images[index])
        assert torch.equal(ours.take(some).images, theirs.take(some).images[:])
        assert torch.equal(normalize(ours.images, inside.spec), normalize(theirs.images, outside.spec))
        assert torch.equal(torch.cat(list(ours.in_order(30))), torch.cat(list(theirs.in_order(30))))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"rotation": 20, "flip": True}, {"mixup": 0.5}], ids=str)
def test_a_streamed_training_is_the_same_and_resumes_exactly(
    config: Callable[..., RunConfig], changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config(**changes)
    inside, outside = both(wanted, tmp_path, monkeypatch)

    def batches(training: Training, *, stop: int | None = None) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        training.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()) if module.training else None)
        for event in training.events():
            if isinstance(event, StepDone) and event.step == stop:
                break
        return seen

    whole, streamed = (Training(wanted, splits, device=CPU) for splits in (inside, outside))
    expected = batches(whole)
    before = batches(streamed, stop=10)  # in the second epoch of 7 steps
    resumed = Training(wanted, outside, device=CPU, resume=streamed.state_dict())
    found = before + batches(resumed)
    assert len(found) == len(expected) == 14
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert all(torch.equal(tensor, resumed.weights()[name]) for name, tensor in whole.weights().items())
    assert [row["valid_loss"] for row in resumed.history] == [row["valid_loss"] for row in whole.history]


def test_evaluation_of_a_streamed_split(config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = both(config(), tmp_path, monkeypatch)
    model = build_model(config().model, inside.spec, seed=0)
    one, other = (evaluate(model, splits.test, splits.spec, batch_size=30) for splits in (inside, outside))
    assert (one.loss, one.accuracy) == (other.loss, other.accuracy)


def test_a_file_that_breaks_meanwhile_is_named(config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "own"
    for part in ("train", "test"):
        for name in ("a", "b"):
            (folder / part / name).mkdir(parents=True)
            for index in range(4):
                Image.new("L", (40, 40), 60 * index).save(folder / part / name / f"{index}.png")
    monkeypatch.setenv(BUDGET, "1000")
    splits = load_splits(config(dataset=f"image-folder:{folder}").data, root=tmp_path)
    assert isinstance(splits.train.images, FileImages)
    broken = splits.train.images.files[1]
    broken.write_bytes(b"no image")
    with pytest.raises(UserError) as caught:
        list(splits.train.in_order(3))
    assert caught.value.code == "image_unreadable"
    assert str(broken) in str(caught.value)


def test_the_budget(monkeypatch: pytest.MonkeyPatch, config: Callable[..., RunConfig], tmp_path: Path) -> None:
    """A part that takes exactly the budget is kept in memory; 320 training images of 32 x 32 are 327,680 bytes."""
    monkeypatch.setenv(BUDGET, str(320 * 32 * 32))
    assert isinstance(open_source(config().data, tmp_path).read("train").images, torch.Tensor)
    monkeypatch.setenv(BUDGET, str(320 * 32 * 32 - 1))
    assert isinstance(open_source(config().data, tmp_path).read("train").images, FileImages)
    monkeypatch.setenv(BUDGET, "4 GB")
    with pytest.raises(UserError, match=f"{BUDGET} must be a whole number of bytes, got '4 GB'"):
        image_budget()
    monkeypatch.delenv(BUDGET)
    assert 2**28 < image_budget() < 2**42


def test_a_few_images_are_read_at_once(config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes some images of a streamed set to look at them gets a tensor, as from any other set."""
    monkeypatch.setenv(BUDGET, str(100 * 32 * 32))
    split = open_source(config().data, tmp_path).read("train")
    assert isinstance(split.images, FileImages)
    some = split.take(torch.arange(0, 300, 3))
    assert isinstance(some.images, torch.Tensor)
    assert torch.equal(some.images, split.images[0:300:3])
    assert isinstance(split.take(torch.arange(101)).images, FileImages)


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    assert workers() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert workers() == 2
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert workers() == 1
