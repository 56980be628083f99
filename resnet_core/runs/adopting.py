"""A file of weights as a finished run of the store, so that every page and command opens it by name.

Ours bring their settings and what was measured; those of other projects are fitted to a network as `import_weights` does it.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_core.config import ModelConfig
from resnet_core.errors import UserError
from resnet_core.runs.checkpoint import SUFFIX, Checkpoint, load_model, read_checkpoint
from resnet_core.runs.importing import AUTO, Imported, import_weights
from resnet_core.runs.run import IMPORTED_FROM, Run
from resnet_core.runs.store import Store

TESTED = ("test_accuracy", "test_loss", "test_images", "seconds")  # all or none


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """`imported` says where each tensor came from; None for a checkpoint of ours, which is taken as it is."""

    run: Run
    imported: Imported | None


def adopt_weights(
    store: Store,
    path: Path,
    config: ModelConfig | None,
    *,
    name: str | None = None,
    dataset: str | None = None,
    image_size: int | None = None,
    normalisation: str = AUTO,
    average: bool = True,
) -> Adopted:
    """Add the file's network to the store under `name` (default: the file's). A checkpoint of ours needs no `config`.

    Raises weights_need_a_network where another project's file comes without one, and what `import_weights` and `load_model` raise;
    nothing is left behind then.
    """
    name = name or path.stem
    try:
        own = read_checkpoint(path)
    except UserError as error:
        if error.code != "checkpoint_foreign" and config is None:
            raise
        own = None
    if own is not None:
        load_model(own)  # whole, and of the network that it says
        return Adopted(run=_adopted(store, own, name), imported=None)
    if config is None:
        raise UserError("weights_need_a_network", path=path)
    draft = store.root / f".{time.time_ns()}{SUFFIX}"
    try:
        done = import_weights(path, draft, config, dataset=dataset, image_size=image_size, normalisation=normalisation, average=average)
        return Adopted(run=_adopted(store, read_checkpoint(draft), name, origin=path.name), imported=done)
    finally:
        draft.unlink(missing_ok=True)


def _adopted(store: Store, checkpoint: Checkpoint, name: str, *, origin: str | None = None) -> Run:
    run, metrics = store.fresh_id(checkpoint.config), checkpoint.metrics
    target = store.root / run / f"last{SUFFIX}"
    target.parent.mkdir(parents=True)
    shutil.copyfile(checkpoint.path, target)
    known: Mapping[str, Any] = {key: metrics[key] for key in TESTED} if set(TESTED) <= metrics.keys() else {}
    valid = metrics.get("valid_accuracy")
    result = {"weights_sha256": checkpoint.weights_sha256, IMPORTED_FROM: origin or checkpoint.path.name, **known}
    return store.create_finished(
        checkpoint.config, run=run, name=name, metrics=metrics, result=result, valid_accuracy=valid, best_valid_accuracy=valid
    )
