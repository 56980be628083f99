"""A checkpoint by whatever people call it: a shipped name, a run, a run's other checkpoint (`RUN@best`), or a path."""

import re
from collections.abc import Collection
from pathlib import Path

from resnet_core.errors import UserError, nearest
from resnet_core.runs.checkpoint import FIRST, SUFFIX, Checkpoint, read_checkpoint
from resnet_core.runs.files import is_file
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store, near_runs

EPOCH = re.compile(r"epoch-[0-9]+")
SHIPPED = Path(__file__).parents[2] / "checkpoints"
SEPARATOR = "@"  # between a run and one of its checkpoints: `RUN@best`


def run_of(name: str) -> str:
    """The run, or the shipped network, of a checkpoint by its name."""
    return name.partition(SEPARATOR)[0]


def shipped_names() -> tuple[str, ...]:
    """Stems of the files under checkpoints/: digits before other data, residual networks before plain ones, those with a twin before
    others, so that lists begin with resnet20-mnist."""
    names = {file.stem for file in SHIPPED.glob(f"*{SUFFIX}")}

    def place(name: str) -> tuple[bool, str, bool, bool, str]:
        dataset = name.partition("-")[2]
        return dataset != "mnist", dataset, name.startswith("plain"), not has_twin(name, names), name

    return tuple(sorted(names, key=place))


def has_twin(name: str, names: Collection[str]) -> bool:
    """Whether the plain network of a shipped ResNet, or the ResNet of a plain one, is among them."""
    family, other = ("resnet", "plain") if name.startswith("resnet") else ("plain", "resnet")
    return name.startswith(family) and other + name.removeprefix(family) in names


def model_card(name: str) -> Path | None:
    """The card of a shipped checkpoint, where there is one."""
    file = SHIPPED / f"{name}.md"
    return file if file.is_file() else None


def find_checkpoint(name: str, *, store: Store | None = None) -> Checkpoint:
    """Raises checkpoint_missing with the nearest names, and what read_checkpoint raises."""
    if name in shipped_names():
        return read_checkpoint(SHIPPED / f"{name}{SUFFIX}", name)
    path = Path(name)
    if path.suffix == SUFFIX or is_file(path):
        return read_checkpoint(path)
    store = store or Store()
    run, _, which = name.partition(SEPARATOR)
    if store.exists(run):
        return read_checkpoint(_file_of(store, run, which or None), name)
    raise UserError("checkpoint_missing", value=name, hint=near_runs(name, [*shipped_names(), *(r.run for r in store.runs())]))


def _file_of(store: Store, run: str, which: str | None) -> Path:
    """A run's result: what its test was measured on, else its last epoch."""
    found = store.run(run)
    kept = checkpoints_of(found.folder)
    if which is None:
        which = str(found.result.get("tested", "last"))
        if which not in kept:
            raise no_weights(found)
    if which not in kept:
        raise UserError("checkpoint_missing", value=f"{run}@{which}", hint=nearest(which, kept) if kept else "it has none yet")
    return found.folder / f"{which}{SUFFIX}"


def no_weights(run: Run) -> UserError:
    """Why a run has nothing to open: it has not come to the end of an epoch yet, or never did."""
    if run.is_going_on:
        return UserError("checkpoint_no_weights", run=run.run)
    return UserError("checkpoint_never_written", run=run.run, status=run.status)


def checkpoints_of(folder: Path) -> tuple[str, ...]:
    """Names of the checkpoints that a run keeps: first, epoch-N in order, last, best."""
    names = {file.stem for file in folder.glob(f"*{SUFFIX}") if not file.name.startswith(".")}
    epochs = sorted((name for name in names if EPOCH.fullmatch(name)), key=lambda name: int(name.removeprefix("epoch-")))
    return tuple(name for name in (FIRST, *epochs, "last", "best") if name in names)
