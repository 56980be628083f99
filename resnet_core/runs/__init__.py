"""Runs: the store, checkpoints, the worker process, the queue, and runs as one file.

What stands here is imported when it is first asked for: a list of runs needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_core.runs.archive import export_run, import_run
    from resnet_core.runs.checkpoint import (
        Checkpoint,
        initial_model,
        is_drawn,
        load_model,
        load_weights,
        read_checkpoint,
        require_channels,
        save_checkpoint,
    )
    from resnet_core.runs.files import runs_root
    from resnet_core.runs.metrics import (
        EpochRow,
        Notice,
        Steps,
        read_blocks,
        read_epochs,
        read_notices,
        read_steps,
        shipped_blocks,
        shipped_gradient_norms,
    )
    from resnet_core.runs.opening import checkpoints_of, find_checkpoint, model_card, no_weights, run_of, shipped_names
    from resnet_core.runs.queue import dispatch, resume, start
    from resnet_core.runs.run import ACTIVE, ENDED, STATUSES, Run
    from resnet_core.runs.store import Store

__all__ = [
    "ACTIVE", "Checkpoint", "ENDED", "EpochRow", "Notice", "Run", "STATUSES", "Steps", "Store", "checkpoints_of", "dispatch", "export_run",
    "find_checkpoint", "import_run", "initial_model", "is_drawn", "load_model", "load_weights", "model_card", "no_weights", "read_blocks", "read_checkpoint", "read_epochs", "read_notices", "read_steps",
    "require_channels", "resume", "run_of", "runs_root", "save_checkpoint", "shipped_blocks", "shipped_gradient_norms", "shipped_names", "start",
]  # fmt: skip

_HOMES: dict[str, tuple[str, ...]] = {
    "archive": (
        "export_run",
        "import_run",
    ),
    "checkpoint": (
        "Checkpoint",
        "initial_model",
        "is_drawn",
        "load_model",
        "load_weights",
        "read_checkpoint",
        "require_channels",
        "save_checkpoint",
    ),
    "files": ("runs_root",),
    "metrics": (
        "EpochRow",
        "Notice",
        "Steps",
        "read_blocks",
        "read_epochs",
        "read_notices",
        "read_steps",
        "shipped_blocks",
        "shipped_gradient_norms",
    ),
    "opening": (
        "checkpoints_of",
        "find_checkpoint",
        "model_card",
        "no_weights",
        "run_of",
        "shipped_names",
    ),
    "queue": (
        "dispatch",
        "resume",
        "start",
    ),
    "run": (
        "ACTIVE",
        "ENDED",
        "STATUSES",
        "Run",
    ),
    "store": ("Store",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
