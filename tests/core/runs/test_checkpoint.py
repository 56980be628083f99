"""A checkpoint gives back exactly what was saved, or says in one sentence why it cannot."""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from resnet_core.config import RunConfig
from resnet_core.data import load_spec
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs import (
    Checkpoint,
    initial_model,
    is_drawn,
    load_model,
    load_weights,
    read_checkpoint,
    require_channels,
    save_checkpoint,
)
from resnet_core.runs.hashing import weights_sha256
from resnet_core.runs.run import IMPORTED_FROM


def reading(path: Path) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    checkpoint = read_checkpoint(path)
    return checkpoint, load_weights(checkpoint)


def test_round_trip_is_exact(tmp_path: Path, small: Callable[..., RunConfig]) -> None:
    config = small(seed=5)
    spec = load_spec(config.data)
    weights = build_model(config.model, spec, seed=5).to(memory_format=torch.channels_last).state_dict()
    metrics = {"epoch": 3, "step": 12, "valid_accuracy": 0.1 + 0.2, "test_accuracy": None}
    path = tmp_path / "deep" / "er" / "net.safetensors"
    sha256 = save_checkpoint(path, weights, config, spec, metrics)
    checkpoint, loaded = reading(path)
    assert (checkpoint.config, checkpoint.spec, dict(checkpoint.metrics)) == (config, spec, metrics)
    assert (checkpoint.name, checkpoint.path, checkpoint.weights_sha256) == (str(path), path, sha256)
    assert set(loaded) == set(weights)
    for name, tensor in weights.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor), name
    model = load_model(checkpoint)
    assert not model.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert [file.name for file in path.parent.iterdir()] == ["net.safetensors"], "no temporary file stays"


def test_the_hash_is_of_the_bytes_in_name_order(saved: Checkpoint) -> None:
    seen = hashlib.sha256()
    with safe_open(saved.path, framework="np") as file:
        for name in sorted(file.keys()):
            seen.update(file.get_tensor(name).tobytes())
    assert saved.weights_sha256 == seen.hexdigest() == weights_sha256(load_weights(saved))


def test_the_hash_does_not_depend_on_memory_order_but_on_every_value() -> None:
    weights = {"a": torch.randn(4, 3, 5, 5), "b": torch.tensor(3)}
    other = {"b": torch.tensor(3), "a": weights["a"].to(memory_format=torch.channels_last)}
    assert weights_sha256(weights) == weights_sha256(other)
    other["a"][0, 0, 0, 0] += 1e-6
    assert weights_sha256(weights) != weights_sha256(other)


def test_initial_model_is_the_one_of_the_seed(saved: Checkpoint) -> None:
    expected = build_model(saved.config.model, saved.spec, seed=saved.config.train.seed).state_dict()
    model = initial_model(saved)
    assert not model.training
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def header_length(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[:8], "little")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_damaged(saved: Checkpoint, share: float) -> None:
    data = saved.path.read_bytes()
    saved.path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError) as caught:
        reading(saved.path)
    assert caught.value.code == "checkpoint_damaged"
    assert str(saved.path) in str(caught.value)
    if share == 0.0:
        assert "the file is empty" in str(caught.value)


def test_any_flipped_bit_in_the_weights_is_noticed(saved: Checkpoint) -> None:
    data, start = saved.path.read_bytes(), 8 + header_length(saved.path)
    for position in [start, len(data) - 1, *range(start, len(data), (len(data) - start) // 20)]:
        saved.path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        with pytest.raises(UserError, match="not the ones that were saved") as caught:
            reading(saved.path)
        assert caught.value.code == "checkpoint_damaged"


def test_no_flipped_bit_in_the_header_gives_something_else(saved: Checkpoint) -> None:
    """Places all over the header: an error of ours, or exactly what was saved (spaces between words carry nothing)."""
    checkpoint, weights = reading(saved.path)
    data, noticed, codes = saved.path.read_bytes(), 0, set()
    length = header_length(saved.path)
    for position in range(0, 8 + length, 13):
        saved.path.write_bytes(data[:position] + bytes([data[position] ^ (1 << position % 7)]) + data[position + 1 :])
        try:
            other, loaded = reading(saved.path)
        except UserError as error:
            codes.add(error.code)
            noticed += 1
            continue
        assert replace(other, layout_sha256=checkpoint.layout_sha256) == checkpoint
        assert set(loaded) == set(weights)
        assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    assert noticed > 0.9 * length / 13
    assert codes == {"checkpoint_damaged", "checkpoint_foreign"}


def test_another_programs_file_is_foreign(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="import-weights") as caught:
        read_checkpoint(path)
    assert caught.value.code == "checkpoint_foreign"


@pytest.mark.parametrize("kind", ["pickle", "torch", "legacy torch"])
def test_a_pickle_is_never_opened(tmp_path: Path, kind: str) -> None:
    path, ran = tmp_path / "evil.safetensors", tmp_path / "ran"
    harmful = {"weights": Harmful(ran)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(harmful))
    else:
        torch.save(harmful, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(UserError, match="pickle") as caught:
        read_checkpoint(path)
    assert caught.value.code == "checkpoint_foreign"
    assert not ran.exists()


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("key", ["config", "spec", "metrics", "weights_sha256", "format"])
def test_missing_metadata_is_said(saved: Checkpoint, key: str) -> None:
    with safe_open(saved.path, framework="pt") as file:
        metadata = file.metadata()
    del metadata[key], metadata["description_sha256"]
    save_file(load_weights(saved), saved.path, metadata=metadata)
    with pytest.raises(UserError, match="format" if key == "format" else f"lacks '{key}'"):
        read_checkpoint(saved.path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", "[]"),
        ("config", "7"),
        ("config", '{"train": {"epochs": -1}}'),
        ("spec", "[]"),
        ("spec", '{"name": "x"}'),
        ("metrics", "null"),
        ("metrics", "[" * 100_000),
    ],
)
def test_metadata_of_the_wrong_kind_is_damage(saved: Checkpoint, key: str, value: str) -> None:
    with safe_open(saved.path, framework="pt") as file:
        metadata = {**file.metadata(), key: value}
    del metadata["description_sha256"]
    save_file(load_weights(saved), saved.path, metadata=metadata)
    with pytest.raises(UserError) as caught:
        read_checkpoint(saved.path)
    assert caught.value.code == "checkpoint_damaged"
    assert len(str(caught.value).splitlines()) == 1


def test_changed_metadata_is_damage(saved: Checkpoint) -> None:
    with safe_open(saved.path, framework="pt") as file:
        metadata = file.metadata()
    metadata["metrics"] = json.dumps({**json.loads(metadata["metrics"]), "valid_accuracy": 0.99})
    save_file(load_weights(saved), saved.path, metadata=metadata)
    with pytest.raises(UserError, match="its metadata is not what was saved"):
        read_checkpoint(saved.path)


def test_weights_of_another_network_do_not_fit(saved: Checkpoint, small: Callable[..., RunConfig]) -> None:
    save_checkpoint(saved.path, load_weights(saved), small(model="resnet14"), saved.spec, {})
    with pytest.raises(UserError, match="do not fit its network") as caught:
        load_model(read_checkpoint(saved.path))
    assert caught.value.code == "checkpoint_damaged"


def test_a_file_that_is_not_there(tmp_path: Path, saved: Checkpoint) -> None:
    for path in (tmp_path / "no.safetensors", tmp_path, Path("x" * 5000 + ".safetensors")):
        with pytest.raises(UserError) as caught:
            read_checkpoint(path)
        assert caught.value.code == "file_missing"
    saved.path.unlink()
    with pytest.raises(UserError) as caught:
        load_weights(saved)
    assert caught.value.code == "file_missing"


def test_require_channels(saved: Checkpoint) -> None:
    require_channels(saved, 1)
    with pytest.raises(UserError, match="1 channel") as caught:
        require_channels(saved, 3)
    assert caught.value.code == "checkpoint_channels"


def test_the_old_file_stays_when_the_new_one_cannot_be_written(saved: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = saved.path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="The disk is full") as caught:
        save_checkpoint(saved.path, load_weights(saved), saved.config, saved.spec, {"epoch": 9})
    assert caught.value.code == "disk_full"
    assert saved.path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [saved.path.name]


def test_before_its_training_a_fine_tuned_network_has_the_weights_that_it_started_from(
    tmp_path: Path, small: Callable[..., RunConfig]
) -> None:
    config = small(start_from="resnet20-mnist")
    spec = load_spec(config.data)
    first, last = (build_model(config.model, spec, seed=seed).state_dict() for seed in (7, 8))
    save_checkpoint(tmp_path / "last.safetensors", last, config, spec, {"epoch": 1, "step": 4})
    trained = read_checkpoint(tmp_path / "last.safetensors")
    assert is_drawn(trained, initial=True), "what it started from is not here, so its place is taken by random weights"
    assert not is_drawn(trained, initial=False)
    save_checkpoint(tmp_path / "first.safetensors", first, config, spec, {"epoch": 0, "step": 0})
    assert not is_drawn(trained, initial=True)
    initial = initial_model(trained).state_dict()
    assert all(torch.equal(initial[name], tensor) for name, tensor in first.items())
    begun = read_checkpoint(tmp_path / "first.safetensors")
    assert begun.is_first
    assert not begun.is_untrained, "its BatchNorms have seen images"
    save_checkpoint(tmp_path / "first.safetensors", first, small(), spec, {"epoch": 0, "step": 0})
    assert is_drawn(trained, initial=True), "the beginning of another training"
    assert read_checkpoint(tmp_path / "first.safetensors").is_untrained


def test_of_a_network_trained_elsewhere_the_beginning_is_not_known(tmp_path: Path, small: Callable[..., RunConfig]) -> None:
    config = small()
    spec = load_spec(config.data)
    weights = build_model(config.model, spec, seed=1).state_dict()
    save_checkpoint(tmp_path / "last.safetensors", weights, config, spec, {IMPORTED_FROM: "theirs.pth"})
    found = read_checkpoint(tmp_path / "last.safetensors")
    assert found.is_imported
    assert not found.starts_drawn
    assert is_drawn(found, initial=True)
