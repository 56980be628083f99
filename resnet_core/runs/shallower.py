"""A network without some of its blocks as a checkpoint of its own: fewer parameters, the same logits as with these blocks switched off.

Only blocks whose shortcut is the identity can go. What stays keeps its name and its weights, so a training can start from it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.models import ResNet, build_model, find_block, place_of, removable_blocks
from resnet_core.runs.checkpoint import SUFFIX, Checkpoint, load_weights, save_checkpoint
from resnet_core.runs.opening import run_of
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store

REMOVED = " − "  # in a run's name, before the blocks that it lacks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Removal:
    """Which blocks go, and what was measured with and without them on so many images of a split."""

    blocks: tuple[str, ...]
    accuracy_before: float
    accuracy_after: float
    images: int
    split: str = "test"


def can_be_removed(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Blocks that this network has and can do without; none where it has no residual blocks."""
    model = build_model(checkpoint.config.model, checkpoint.spec, seed=None, device="meta")
    if not isinstance(model, ResNet):
        return ()
    return tuple(name for name in removable_blocks(model.plan) if name not in checkpoint.config.model.removed_blocks)


def shallower(checkpoint: Checkpoint, blocks: Sequence[str]) -> tuple[RunConfig, dict[str, Tensor]]:
    """Config and weights without these blocks. Raises no_blocks, unknown_block or block_not_removable."""
    model = build_model(checkpoint.config.model, checkpoint.spec, seed=None, device="meta")
    for name in blocks:
        find_block(model, name, model_name=checkpoint.model_name)
    possible = can_be_removed(checkpoint)
    for name in blocks:
        if name not in possible:
            raise UserError("block_not_removable", value=name, choices=", ".join(possible) or "-")
    config = checkpoint.config
    removed = (*config.model.removed_blocks, *blocks)
    gone = tuple(f"{name}." for name in blocks)
    weights = {name: tensor for name, tensor in load_weights(checkpoint).items() if not name.startswith(gone)}
    return dataclasses.replace(config, model=dataclasses.replace(config.model, removed_blocks=removed)), weights


def save_shallower(checkpoint: Checkpoint, removal: Removal, path: Path) -> str:
    """Write the network without these blocks to a file; returns the weights' hash. Raises what `shallower` raises."""
    config, weights = shallower(checkpoint, removal.blocks)
    return save_checkpoint(path, weights, config, checkpoint.spec, _metrics(checkpoint, removal))


def adopt_shallower(store: Store, checkpoint: Checkpoint, removal: Removal) -> Run:
    """The network without these blocks as a finished run, from which a training can start. Raises what `shallower` raises."""
    config, weights = shallower(checkpoint, removal.blocks)
    run, metrics = store.fresh_id(config), _metrics(checkpoint, removal)
    sha256 = save_checkpoint(store.root / run / f"last{SUFFIX}", weights, config, checkpoint.spec, metrics)
    result = {"weights_sha256": sha256, **{key: metrics[key] for key in ("removed_from", *_measured(removal))}}
    return store.create_finished(config, run=run, name=_name(store, checkpoint, config), metrics=metrics, result=result)


def _metrics(checkpoint: Checkpoint, removal: Removal) -> dict[str, Any]:
    """How long it trained stays true; what was measured of the whole network does not."""
    trained: Mapping[str, Any] = {key: checkpoint.metrics[key] for key in ("epoch", "step") if key in checkpoint.metrics}
    return {**trained, "removed_from": checkpoint.name, **_measured(removal)}


def _measured(removal: Removal) -> dict[str, Any]:
    return {
        "accuracy_before": removal.accuracy_before,
        "accuracy_after": removal.accuracy_after,
        "measured_images": removal.images,
        "measured_split": removal.split,
    }


def _name(store: Store, checkpoint: Checkpoint, config: RunConfig) -> str:
    """`resnet20-mnist − 2.2, 3.1`: whose network it was, and the blocks that it lacks (stage.block)."""
    run = run_of(checkpoint.name)
    whole = (store.run(run).name if store.exists(run) else run).partition(REMOVED)[0]
    return f"{whole}{REMOVED}{', '.join('.'.join(map(str, place_of(name))) for name in config.model.removed_blocks)}"
