"""Whose turn it is: each device trains one run at a time, in a process of its own that outlives whoever started it."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from resnet_core.config import RunConfig, TrainConfig
from resnet_core.data import PLACED, data_root, open_source, splits_of
from resnet_core.errors import UserError
from resnet_core.runs.files import is_file
from resnet_core.runs.opening import find_checkpoint
from resnet_core.runs.process import PROJECT
from resnet_core.runs.run import Run
from resnet_core.runs.standby import take
from resnet_core.runs.store import Store
from resnet_core.training.team import asked_processes, outside, require_shares

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
    from resnet_core.models import check_network, get_entry
    from resnet_core.training.device import pick_device, require_candidates

    get_entry(config.model.model)
    device = pick_device(config.train.device)
    require_candidates(device, config.train)
    _check_processes(config.train, device.type)
    start_from = config.train.start_from
    if "train" not in splits_of(config.data.dataset):
        raise UserError("test_only", field="dataset", name=config.data.dataset)
    kind, separator, place = config.data.dataset.partition(":")
    if separator and kind in PLACED and place:
        config = replace(config, data=replace(config.data, dataset=f"{kind}:{Path(place).expanduser().absolute()}"))
    else:
        check_network(config.model, open_source(config.data, data_root()).spec)
    if start_from not in (None, "pretrained"):
        find_checkpoint(str(start_from))
        if is_file(Path(str(start_from))):
            config = replace(config, train=replace(config.train, start_from=str(Path(str(start_from)).absolute())))
    return config, device.type


def _check_processes(train: TrainConfig, device: str) -> None:
    """As many as there are GPUs, or cores; what torchrun started is there already, on other machines too."""
    if asked_processes() == 1 and train.processes > 1:
        most = possible_processes(device)
        if train.processes > most:
            raise UserError("out_of_range", field="processes", value=train.processes, range=f"between 1 and {most}")
    require_shares(train.batch_size, max(asked_processes(), train.processes))


def possible_processes(device: str) -> int:
    """How many can train together here."""
    if device == "cuda":
        return torch.cuda.device_count()
    return max(os.cpu_count() or 1, 2) if device == "cpu" else 1


def training_command(run: Run, *more: str) -> list[str]:
    """What trains a run whose turn it is: one process, or torchrun with as many as its config asks for and this machine can."""
    arguments = ["-m", "resnet_core", "train", "--run-id", run.run, *more]  # torchrun would take --run for one of its own options
    count = min(run.config.train.processes, possible_processes(run.device))
    if count == 1:
        return [sys.executable, *arguments]
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *arguments]


def training_environment(store: Store, run: Run) -> dict[str, str]:
    """Where runs and data lie; the cores are shared out, since torchrun would give each process one."""
    environment = {
        **outside(os.environ),
        "RESNET_RUNS": str(store.root),
        "RESNET_DATA": str(data_root().absolute()),
        "PYTHONUNBUFFERED": "1",
    }
    if run.config.train.processes > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // run.config.train.processes, 1)))
    return environment


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
    folder, found = store.root / run, store.run(run)
    command, environment = training_command(found), training_environment(store, found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOG).open("ab") as log:
            child = take(command, environment, folder / LOG) or subprocess.Popen(
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
