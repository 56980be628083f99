"""Runs: the store, checkpoints, the worker process, the queue, and runs as one file."""

from resnet_core.runs.archive import export_run, import_run
from resnet_core.runs.checkpoint import (
    Checkpoint,
    initial_model,
    load_model,
    load_weights,
    read_checkpoint,
    require_channels,
    save_checkpoint,
)
from resnet_core.runs.files import runs_root
from resnet_core.runs.metrics import EpochRow, Notice, Steps, read_blocks, read_epochs, read_notices, read_steps
from resnet_core.runs.opening import checkpoints_of, find_checkpoint, model_card, shipped_names
from resnet_core.runs.queue import dispatch, resume, start
from resnet_core.runs.run import ACTIVE, ENDED, STATUSES, Run
from resnet_core.runs.store import Store

__all__ = [
    "ACTIVE", "Checkpoint", "ENDED", "EpochRow", "Notice", "Run", "STATUSES", "Steps", "Store", "checkpoints_of", "dispatch", "export_run",
    "find_checkpoint", "import_run", "initial_model", "load_model", "load_weights", "model_card", "read_blocks", "read_checkpoint", "read_epochs", "read_notices", "read_steps",
    "require_channels", "resume", "runs_root", "save_checkpoint", "shipped_names", "start",
]  # fmt: skip
