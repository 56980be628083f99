"""Whose turn it is: each device trains one run at a time, in a process of its own that outlives whoever started it."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from resnet_core.config import RunConfig
from resnet_core.data import PLACED, data_root, open_source
from resnet_core.errors import UserError
from resnet_core.runs.files import is_file
from resnet_core.runs.opening import find_checkpoint
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store

PROJECT = Path(__file__).parents[2]
LOG = "log.txt"
_children: list["subprocess.Popen[bytes]"] = []  # kept so that the system can tell their end


def start(store: Store, configs: list[RunConfig], *, names: list[str] | None = None) -> tuple[Run, ...]:
    """Queue these trainings, several as one experiment, and start the first one whose device is free.

    Raises what is wrong with any of them before the first one is queued.
    """
    checked = [check(config) for config in configs]
    ids = [store.fresh_id(config) for config, _ in checked]
    pair = ids[0] if len(ids) > 1 else None
    for index, (config, device) in enumerate(checked):
        store.create(config, device, name=names[index] if names else None, pair=pair, run=ids[index])
    dispatch(store)
    return tuple(store.run(run) for run in ids)


def check(config: RunConfig) -> tuple[RunConfig, str]:
    """The config as it is queued, and its device; raises what can be known to be wrong without reading images.

    A data set's place becomes absolute: the run may be resumed from another folder.
    """
    from resnet_core.models import get_entry
    from resnet_core.training.device import candidates, pick_device

    get_entry(config.model.model)
    device = pick_device(config.train.device)
    candidates(device, config.train.precision, config.train.memory_format)
    start_from = config.train.start_from
    kind, separator, place = config.data.dataset.partition(":")
    if separator and kind in PLACED and place:
        config = replace(config, data=replace(config.data, dataset=f"{kind}:{Path(place).expanduser().absolute()}"))
    else:
        open_source(config.data, data_root())
    if start_from not in (None, "pretrained"):
        find_checkpoint(str(start_from))
        if is_file(Path(str(start_from))):
            config = replace(config, train=replace(config.train, start_from=str(Path(str(start_from)).absolute())))
    return config, device.type


def resume(store: Store, run: str) -> Run:
    """Put an ended run back into the queue and start it when its device is free."""
    store.requeue(run)
    dispatch(store)
    return store.run(run)


def dispatch(store: Store) -> tuple[str, ...]:
    """Start the first waiting run of every free device; whoever calls this may end afterwards."""
    _children[:] = [child for child in _children if child.poll() is None]
    started = []
    for device in store.waiting_devices():
        run = store.claim(device)
        if run is not None:
            _spawn(store, run)
            started.append(run)
    return tuple(started)


def _spawn(store: Store, run: str) -> None:
    folder = store.root / run
    environment = {**os.environ, "RESNET_RUNS": str(store.root), "RESNET_DATA": str(data_root().absolute()), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "resnet_core", "train", "--run", run]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=PROJECT, env=environment, start_new_session=True
            )
        _children.append(child)
        store.spawned(run, child.pid)
    except OSError as error:
        reason = error.strerror or str(error)
        store.update(
            run, status="failed", ended=time.time(), error_code="not_writable", error_values={"path": str(folder), "reason": reason}
        )
        raise UserError("not_writable", path=folder, reason=reason) from error
