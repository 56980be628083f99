"""`train`: a run here and now, `--resume` one that ended, and `--run`, which the queue calls for a run whose turn it is."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resnet_core.commands.output import EXIT_STOPPED, Progress, parse_settings, say, write_json
from resnet_core.commands.wish import PRESET_OPTION, RECIPE_OPTION, SET_OPTION, opened, wished
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.config import RunConfig
    from resnet_core.runs import Run, Store
    from resnet_core.training import Event
    from resnet_core.training.team import Team

EXIT_FAILED = 1
WAIT_SECONDS = 0.5
BACKGROUND_NICE = "5"  # the pages stay quick while a training in the background takes every core


def train(
    model: str | None = typer.Option(None, help="network by name, such as resnet20 or plain20"),
    dataset: str | None = typer.Option(None, help="data set by name, or image-folder:PATH"),
    preset: str | None = PRESET_OPTION,
    recipe: Path | None = RECIPE_OPTION,
    settings: list[str] = SET_OPTION,
    epochs: int | None = typer.Option(None, help="passes over the training split"),
    device: str | None = typer.Option(None, help="auto, cpu, cuda or mps"),
    name: str | None = typer.Option(None, help="what to call the run"),
    resume: str | None = typer.Option(None, metavar="RUN", help="go on where this run stopped or died"),
    run: str | None = typer.Option(None, "--run", "--run-id", hidden=True, help="train this run, whose turn it is"),
    as_json: bool = typer.Option(False, "--json", help="one JSON object per line on stdout"),
) -> None:
    """Train a network; the run appears on the dashboard too. Ctrl-C saves and stops; `train --resume RUN` goes on.

    `torchrun --nproc-per-node=N -m resnet_core train ...` shares every batch between N processes; so does `--set processes=N`.
    """
    from resnet_core.runs import Store
    from resnet_core.runs.worker import follow
    from resnet_core.training.team import joined

    if run is not None:
        os.environ.setdefault("RESNET_NICE", BACKGROUND_NICE)
    with joined() as team:
        if not team.leads:
            if not follow(team):
                raise typer.Exit(EXIT_FAILED)
            return
        try:
            store = Store()
            if run is None:
                flat = {"model": model, "dataset": dataset, "epochs": epochs, "device": device, **parse_settings(settings)}
                if resume is not None:
                    _require_alone(resume, flat, preset=preset, recipe=recipe, name=name)
                if not team.is_alone:
                    flat["processes"] = team.size
                run = _begun(
                    store,
                    lambda: (
                        store.requeue(resume, in_person=True) if resume is not None else _create(store, wished(preset, recipe, flat), name)
                    ),
                )
                _say_run(store.run(run), resumed=resume is not None, as_json=as_json)
                if team.is_alone:
                    _hand_over(store, run, as_json=as_json)
        except BaseException:
            team.tell(None)  # the others wait for orders
            raise
        _train(store, run, team, as_json=as_json)


def _require_alone(run: str, flat: Mapping[str, object], **options: object) -> None:
    """A resumed run has settings already: others beside it are a mistake, not a wish that may be ignored."""
    given = [name for name, value in {**flat, **options}.items() if value is not None]
    if given:
        raise UserError("resume_keeps_settings", run=run, given=", ".join(given))


def _begun(store: "Store", queued: "Callable[[], Run]") -> str:
    """A run that is queued by now and whose turn has come."""
    found = queued()
    _wait_for_turn(store, found)
    return found.run


def _say_run(run: "Run", *, resumed: bool, as_json: bool) -> None:
    if as_json:
        write_json({"event": "run", "run": run.run, "name": run.name, "resumed": resumed}, line=True)
    else:
        say(f"Run {run.run} in {run.folder}")


def _hand_over(store: "Store", run: str, *, as_json: bool) -> None:
    """Where the run asks for several processes, become torchrun, which starts them; else nothing."""
    from resnet_core.runs.queue import training_command, training_environment

    found = store.run(run)
    command = training_command(found, *(["--json"] if as_json else []))
    if "torch.distributed.run" in command:
        sys.stdout.flush()
        os.execve(command[0], command, {**training_environment(store, found), "RESNET_NICE": ""})


def _train(store: "Store", run: str, team: "Team", *, as_json: bool) -> None:
    """Train this run, whose turn it is; whatever becomes of it, the next one's turn follows."""
    from resnet_core.runs import dispatch
    from resnet_core.runs.worker import execute

    shown = _Shown(as_json)
    try:
        ended = execute(store, run, listen=shown.event, team=team)
    finally:
        shown.end()
        dispatch(store)
    _show_end(ended, as_json=as_json)
    if ended.status == "failed":
        code, values = ended.error or ("run_failed", {"reason": "unknown"})
        raise UserError(code, **dict(values))
    if ended.status == "stopped":
        say(f"Go on with: python -m resnet_core train --resume {ended.run}")
        if team.is_alone:  # torchrun would call it a failure
            raise typer.Exit(EXIT_STOPPED)


def _create(store: "Store", config: "RunConfig", name: str | None) -> "Run":
    """Checked as far as can be before a row exists, the images of a folder included."""
    from resnet_core.models import describe
    from resnet_core.runs.queue import check

    config, device = check(config)
    describe(config.model, opened(config))  # a network that cannot be built says so here
    return store.create(config, device, name=name, in_person=True)


def _wait_for_turn(store: "Store", run: "Run") -> None:
    """Until this run is the first one of its device and the device is free; Ctrl-C and SIGTERM give the place up."""
    from resnet_core.runs import dispatch

    told = False
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while store.claim(run.device, run.run) is None:
            status = store.run(run.run).status
            if status != "queued":
                say(f"Run {run.run} is {status}: it was taken out of the queue.")
                raise typer.Exit(EXIT_STOPPED)
            if not told:
                say(f"Run {run.run} waits: the device {run.device} is taken by another run ('python -m resnet_core runs list' shows it).")
                told = True
            dispatch(store)  # runs before this one, whose process may have died without passing the turn on
            time.sleep(WAIT_SECONDS)
    except KeyboardInterrupt:
        store.send(run.run, "stop")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


class _Shown:
    """Events for the person at the terminal, or as JSON lines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json, self.progress, self.total, self.trainable = as_json, Progress(), 0, 0

    def event(self, event: "Event") -> None:
        from resnet_core.training import EpochDone, Noted, RunStarted, StepDone
        from resnet_core.training.device import ComputePlan

        if isinstance(event, RunStarted):
            self.total = event.total_steps
        if self.as_json:
            self._json(event)
        elif isinstance(event, RunStarted):
            trains = f", of which {event.trainable:,} train now" if event.trainable < event.parameters else ""
            self.trainable = event.trainable
            computed = ComputePlan.of(vars(event)).name.replace("/", " ")
            say(
                f"{event.parameters:,} parameters{trains}, {event.train_images:,} training and {event.valid_images:,} validation images, "
                f"{event.epochs} epochs of {event.steps_per_epoch} steps on {event.device}, {computed}"
            )
        elif isinstance(event, StepDone):
            self.progress.show(f"step {event.step} of {self.total}  loss {event.loss:.4f}  {event.images_per_second:.0f} images/s")
        elif isinstance(event, EpochDone):
            self.progress.end()
            if event.trainable != self.trainable:
                say(f"From epoch {event.epoch} on {event.trainable:,} parameters train")
                self.trainable = event.trainable
            say(
                f"epoch {event.epoch}: train loss {event.train_loss:.4f}, accuracy {event.train_accuracy:.2%}; valid loss {event.valid_loss:.4f}, "
                f"accuracy {event.valid_accuracy:.2%}{' (best)' if event.best else ''}; {event.images_per_second:.0f} images/s"
            )
        elif isinstance(event, Noted):
            from resnet_core.errors import NOTES

            say(NOTES[event.code].format(**event.values))

    def _json(self, event: "Event") -> None:
        from resnet_core.training import EpochDone, Noted, RunStarted, StepDone

        names = {RunStarted: "start", StepDone: "step", EpochDone: "epoch", Noted: "note"}
        if type(event) not in names:
            return
        values = {key: value for key, value in vars(event).items() if key != "block_statistics"}
        if "learning_rate" in values:
            values["lr"] = values["learning_rate"]
        write_json({"event": names[type(event)], **values}, line=True)

    def end(self) -> None:
        self.progress.end()


def _show_end(run: "Run", *, as_json: bool) -> None:
    keys = ("test_accuracy", "test_loss", "test_images", "tested", "weights_sha256", "seconds", "peak_memory")
    if as_json:
        write_json({"event": "end", "run": run.run, "status": run.status, **{key: run.result.get(key) for key in keys}}, line=True)
    elif run.test_accuracy is not None:
        say(f"{run.status}: {run.test_accuracy:.2%} of {run.result['test_images']:,} test images right, {run.result['seconds']:.0f} s")
    else:
        say(f"{run.status}")
