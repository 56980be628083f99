"""A checkpoint: weights as safetensors, with config, data spec and metrics in the file's own metadata.

It can be opened without running code. Hashes of the weights, of their names and shapes, and of the metadata itself stand in the
metadata, so a changed byte is noticed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from resnet_core.config import RunConfig
from resnet_core.data import DataSpec
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs.files import digest, is_file, write_atomically
from resnet_core.runs.hashing import weights_sha256
from resnet_core.runs.run import IMPORTED_FROM

FORMAT = "residual-lens-1"
SUFFIX = ".safetensors"
FIRST = "first"  # the checkpoint of a run before its first step
DESCRIBED = ("format", "config", "spec", "metrics", "weights_sha256", "layout_sha256")
PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))  # first bytes of what torch.save and pickle write


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says of itself; `load_model` reads the weights.

    `name` is what people and links call it: a shipped name, a run (with `@best`, `@epoch-3`, ... for others than its last), or a path.
    `metrics` holds at least epoch and step, and valid_accuracy, test_accuracy where they were measured.
    """

    name: str
    path: Path
    config: RunConfig
    spec: DataSpec
    weights_sha256: str
    layout_sha256: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_name(self) -> str:
        return self.config.model.model

    @property
    def is_imported(self) -> bool:
        """Whether it was trained elsewhere: of that training nothing is known, its config has defaults."""
        return IMPORTED_FROM in self.metrics

    @property
    def is_first(self) -> bool:
        """Whether it was saved before the first step."""
        return self.metrics.get("step") == 0

    @property
    def starts_drawn(self) -> bool:
        """Whether its training began with weights drawn from its seed, and not with another network's."""
        return self.config.train.start_from is None and not self.is_imported

    @property
    def is_untrained(self) -> bool:
        """Drawn weights before the first step: its BatchNorms have seen no data yet."""
        return self.is_first and self.starts_drawn


def save_checkpoint(path: Path, weights: Mapping[str, Tensor], config: RunConfig, spec: DataSpec, metrics: Mapping[str, Any]) -> str:
    """Write atomically; returns the weights' hash. Tensors may live on any device and in any memory order."""
    plain = {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True).contiguous() for name, tensor in weights.items()
    }
    sha256 = weights_sha256(plain)
    metadata = {
        "format": FORMAT,
        "config": config.to_json(),
        "spec": json.dumps(spec.to_dict()),
        "metrics": json.dumps(dict(metrics)),
        "weights_sha256": sha256,
        "layout_sha256": _layout_sha256(plain),
    }
    metadata["description_sha256"] = _description_sha256(metadata)
    write_atomically(path, to_safetensors(plain, metadata=metadata))
    return sha256


def read_checkpoint(path: Path, name: str | None = None) -> Checkpoint:
    """The description without the weights. Raises file_missing, checkpoint_damaged, or checkpoint_foreign for another program's file."""
    if not is_file(path):
        raise UserError("file_missing", path=path)
    try:
        state = path.stat()
    except OSError as error:  # deleted between the two
        raise UserError("file_missing", path=path) from error
    return replace(_read(path, state.st_ino, state.st_mtime_ns, state.st_size), name=name or str(path))


@lru_cache(maxsize=64)
def _read(path: Path, *state: int) -> Checkpoint:
    """`state` is the file's: a page asks for the same descriptions at every run, and those of trainings are long."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        if _is_pickle(path):
            raise UserError("checkpoint_foreign", path=path, reason="it is a pickle, which could run code when it is opened") from error
        raise UserError("checkpoint_damaged", path=path, reason=_reason(path, error)) from error
    if metadata.get("format") != FORMAT:
        raise UserError("checkpoint_foreign", path=path, reason=f"its format is {metadata.get('format', 'not given')!r}, not {FORMAT!r}")
    if metadata.get("description_sha256", expected := _description_sha256(metadata)) != expected:
        raise UserError("checkpoint_damaged", path=path, reason="its metadata is not what was saved")
    try:
        return _described(path, metadata)
    except KeyError as error:
        raise UserError("checkpoint_damaged", path=path, reason=f"its metadata lacks {error}") from error
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise UserError("checkpoint_damaged", path=path, reason=f"its metadata: {error}") from error


def _described(path: Path, metadata: Mapping[str, str]) -> Checkpoint:
    return Checkpoint(
        name=str(path),
        path=path,
        config=RunConfig.from_json(metadata["config"]),
        spec=DataSpec.from_dict(json.loads(metadata["spec"])),
        metrics=dict(json.loads(metadata["metrics"])),
        weights_sha256=metadata["weights_sha256"],
        layout_sha256=metadata.get("layout_sha256"),
    )


def load_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights on the CPU, checked against the hash in the metadata; what is stored in half the bits comes in float32."""
    stored = stored_weights(checkpoint)
    return {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in stored.items()}


def stored_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """As they lie in the file."""
    try:
        weights = parse_safetensors(checkpoint.path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("file_missing", path=checkpoint.path) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("checkpoint_damaged", path=checkpoint.path, reason=_reason(checkpoint.path, error)) from error
    if checkpoint.layout_sha256 not in (None, _layout_sha256(weights)) or weights_sha256(weights) != checkpoint.weights_sha256:
        raise UserError("checkpoint_damaged", path=checkpoint.path, reason="its weights are not the ones that were saved")
    return weights


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions and matrices in float16; norms and biases, which are few, as they are: a running variance may be beyond float16."""
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}


def load_model(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> nn.Module:
    """The network with the checkpoint's weights, in eval mode; a fresh object that the caller may hook and change."""
    model = build_model(checkpoint.config.model, checkpoint.spec, seed=None)
    try:
        model.load_state_dict(load_weights(checkpoint))
    except RuntimeError as error:
        raise UserError("checkpoint_damaged", path=checkpoint.path, reason="its weights do not fit its network") from error
    return model.to(device).eval()


def first_checkpoint(checkpoint: Checkpoint) -> Checkpoint | None:
    """The weights of other networks that its training began with; None where they were drawn from the seed, or are not known here."""
    if checkpoint.starts_drawn or checkpoint.is_imported:
        return None
    try:
        first = read_checkpoint(checkpoint.path.with_name(f"{FIRST}{SUFFIX}"))
    except UserError:
        return None
    return first if first.config == checkpoint.config and first.spec == checkpoint.spec else None


def initial_model(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> nn.Module:
    """The same network before its first step, in eval mode: as its training began, else (`is_drawn`) drawn from its seed."""
    if (first := first_checkpoint(checkpoint)) is not None:
        return load_model(first, device)
    return build_model(checkpoint.config.model, checkpoint.spec, seed=checkpoint.config.train.seed, device=device).eval()


def knows_beginning(checkpoint: Checkpoint) -> bool:
    """Whether `initial_model` is the network as its training began, and no random one in its place."""
    return checkpoint.starts_drawn or first_checkpoint(checkpoint) is not None


def is_drawn(checkpoint: Checkpoint, *, initial: bool) -> bool:
    """Whether this network, or with `initial` its `initial_model`, has random weights and norms that have seen no images."""
    return first_checkpoint(checkpoint) is None if initial else checkpoint.is_untrained


def require_channels(checkpoint: Checkpoint, channels: int) -> None:
    """Raise checkpoint_channels unless the network takes images with so many channels."""
    if checkpoint.spec.channels != channels:
        raise UserError("checkpoint_channels", name=checkpoint.name, have=checkpoint.spec.channels, need=channels)


def _layout_sha256(weights: Mapping[str, Tensor]) -> str:
    """Names, types and shapes, which the hash of the weights' bytes does not see."""
    return digest(json.dumps([[name, str(weights[name].dtype), list(weights[name].shape)] for name in sorted(weights)]).encode())


def _description_sha256(metadata: Mapping[str, str]) -> str:
    return digest(json.dumps([metadata.get(key) for key in DESCRIBED]).encode())


def _is_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(PICKLES)
    except OSError:
        return False


def _reason(path: Path, error: Exception) -> str:
    if is_file(path) and path.stat().st_size == 0:
        return "the file is empty"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
