"""Whose turn it is: each device trains one run at a time, in a process of its own that outlives whoever started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from resnet_core.config import RunConfig
from resnet_core.data import data_root
from resnet_core.errors import UserError
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store

PROJECT = Path(__file__).parents[2]
LOG = "log.txt"
_children: list["subprocess.Popen[bytes]"] = []  # kept so that the system can tell their end


def start(store: Store, configs: list[RunConfig], *, names: list[str] | None = None) -> tuple[Run, ...]:
    """Queue these trainings, several as one experiment, and start the first one whose device is free."""
    from resnet_core.training.device import pick_device  # torch takes a second: not for those who only look at the queue

    devices = [pick_device(config.train.device).type for config in configs]
    runs: list[Run] = []
    pair = None
    for index, (config, device) in enumerate(zip(configs, devices, strict=True)):
        run = store.create(config, device, name=names[index] if names else None, pair=pair)
        if len(configs) > 1 and pair is None:
            pair = run.run
            store.update(run.run, pair=pair)
        runs.append(run)
    dispatch(store)
    return tuple(store.run(run.run) for run in runs)


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
    except OSError as error:
        reason = error.strerror or str(error)
        store.update(
            run, status="failed", ended=time.time(), error_code="not_writable", error_values={"path": str(folder), "reason": reason}
        )
        raise UserError("not_writable", path=folder, reason=reason) from error
