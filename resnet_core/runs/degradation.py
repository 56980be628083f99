"""The degradation experiment (He et al. 2015, arXiv:1512.03385): the same depths with and without shortcuts, by several seeds.

The question is about training, so the training loss comes first. A plain network that is deeper could copy the shallower one and add
identities; that it trains worse instead is what shortcuts mend.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.models import get_entry
from resnet_core.recipes import read_recipe
from resnet_core.runs.metrics import read_epochs
from resnet_core.runs.opening import SHIPPED
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store

DEPTHS, SEEDS = (8, 20, 32, 44, 56), (0, 1, 2)
FAMILIES = ("resnet", "plain")
SHALLOW, DEEP = 20, 56  # what the paper's first figure compares
RECIPE, RESULT = SHIPPED / "recipes" / "degradation.toml", SHIPPED / "degradation.json"

# Test errors on CIFAR-10 in percent, after 64,000 steps (He et al.) and 300 epochs (Li et al.).
HE_2015 = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97}  # Table 6, with shortcuts
LI_2018_PLAIN = {20: 8.18, 56: 13.31}  # arXiv:1712.09913, Table 1, without shortcuts
LI_2018_RESNET = {20: 7.37, 56: 5.89}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What one network of the experiment reached: mean training loss and accuracy over its last epoch, accuracy on the test split."""

    family: str
    depth: int
    seed: int
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float
    device: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The experiment as it was run: its budget, and one row per network, seed by seed; they may come from several machines."""

    dataset: str
    train_images: int
    epochs: int
    batch_size: int
    rows: tuple[Trained, ...]

    def of(self, family: str, depth: int) -> tuple[Trained, ...]:
        """One per seed."""
        return tuple(row for row in self.rows if (row.family, row.depth) == (family, depth))

    @property
    def depths(self) -> tuple[int, ...]:
        return tuple(sorted({row.depth for row in self.rows}))

    @property
    def devices(self) -> tuple[str, ...]:
        """What trained, with the number format that was the fastest there."""
        return tuple(sorted({f"{row.device}, {row.precision}" for row in self.rows}))

    @property
    def budget(self) -> dict[str, Any]:
        """What all networks must share to be compared."""
        return {key: value for key, value in vars(self).items() if key != "rows"}

    @property
    def seeds(self) -> int:
        return len({row.seed for row in self.rows})


def read_base(recipe: Path = RECIPE) -> RunConfig:
    """The settings that all networks of the experiment share; raises what read_recipe raises."""
    return RunConfig.from_flat(read_recipe(recipe))


def experiment(base: RunConfig, depths: Sequence[int] = DEPTHS, seeds: Sequence[int] = SEEDS) -> tuple[RunConfig, ...]:
    """Seed by seed, so that whoever stops early has whole comparisons. Raises depth_not_6n_plus_2, and what is wrong with a seed."""
    for depth in depths:
        get_entry(f"{FAMILIES[0]}{depth}")
    return tuple(
        RunConfig.from_flat({"model": f"{family}{depth}", "seed": seed}, base) for seed in seeds for depth in depths for family in FAMILIES
    )


def missing(store: Store, configs: Iterable[RunConfig]) -> tuple[RunConfig, ...]:
    """Those that no run in the store has finished or is about to."""
    known = [run.config for run in store.runs() if run.is_going_on or _counts(run)]
    return tuple(config for config in configs if config not in known)


def _counts(run: Run) -> bool:
    """A training to the end; an imported network brings neither its losses nor its machine."""
    return run.status == "finished" and run.test_accuracy is not None and not run.is_imported


def collect(store: Store, configs: Sequence[RunConfig]) -> Degradation | None:
    """The finished runs of the experiment; None where there is not one."""
    finished = [run for run in store.runs() if _counts(run)]
    runs = [found for config in configs if (found := next((run for run in finished if run.config == config), None)) is not None]
    if not runs:
        return None
    first = runs[0]
    return Degradation(
        dataset=first.dataset,
        train_images=int(first.facts["train_images"]),
        epochs=first.config.train.epochs,
        batch_size=first.config.train.batch_size,
        rows=tuple(_trained(store, run) for run in runs),
    )


def _trained(store: Store, run: Run) -> Trained:
    last, family = read_epochs(store, run.run)[-1], run.model_name.rstrip("0123456789")
    return Trained(
        family=family,
        depth=int(run.model_name.removeprefix(family)),
        seed=run.config.train.seed,
        train_loss=round(last.train_loss, 5),
        train_accuracy=round(last.train_accuracy, 5),
        test_accuracy=float(run.result["test_accuracy"]),
        seconds=round(float(run.result["seconds"]), 1),
        device=str(run.facts["device"]),
        precision=str(run.facts["precision"]),
    )


def join(kept: Degradation | None, new: Degradation) -> Degradation:
    """The rows of both, so that several machines can share the experiment; where both have a network, the new one counts.

    Raises degradation_other_budget for networks that were trained for longer or on other images.
    """
    if kept is None:
        return new
    for field, value in new.budget.items():
        if kept.budget[field] != value:
            raise UserError("degradation_other_budget", field=field, kept=kept.budget[field], value=value)
    rows = {(row.seed, row.depth, row.family): row for row in (*kept.rows, *new.rows)}
    order = sorted(rows, key=lambda key: (*key[:2], FAMILIES.index(key[2])))
    return dataclasses.replace(new, rows=tuple(rows[key] for key in order))


def write_result(result: Degradation, file: Path) -> None:
    """As JSON, one line per network."""
    rows = ",\n  ".join(json.dumps(dataclasses.asdict(row)) for row in result.rows)
    file.write_text(json.dumps(result.budget, indent=1)[:-2] + f',\n "rows": [\n  {rows}\n ]\n}}\n', encoding="utf-8")


def read_result(file: Path = RESULT) -> Degradation | None:
    """What was committed; None where nothing was. Raises file_unreadable for a file that is none of ours."""
    if not file.is_file():
        return None
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return Degradation(**{**kept, "rows": tuple(Trained(**row) for row in kept["rows"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError("degradation_unreadable", path=file, reason=str(error)) from error


# -- did it reproduce? -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`outcome` is reproduced, plain_only (both get worse with depth, the plain one by more), or not_seen; losses are means over seeds."""

    outcome: str
    shallow: int
    deep: int
    plain: tuple[float, float]
    resnet: tuple[float, float]


def verdict(result: Degradation) -> Verdict | None:
    """Compare the training losses of the shallow and the deep pair; None where one of the four is missing.

    Worse means worse for every seed: the best deep network lies above the worst shallow one.
    """
    shallow, deep = SHALLOW, DEEP
    losses = {(f, d): [row.train_loss for row in result.of(f, d)] for f in FAMILIES for d in (shallow, deep)}
    if not all(losses.values()):
        return None
    worse = {family: min(losses[family, deep]) > max(losses[family, shallow]) for family in FAMILIES}
    mean = {key: sum(values) / len(values) for key, values in losses.items()}
    lost = {family: mean[family, deep] - mean[family, shallow] for family in FAMILIES}
    outcome = "not_seen"
    if worse["plain"] and not worse["resnet"]:
        outcome = "reproduced"
    elif worse["plain"] and lost["plain"] > lost["resnet"]:
        outcome = "plain_only"
    plain, resnet = ((mean[family, shallow], mean[family, deep]) for family in ("plain", "resnet"))
    return Verdict(outcome=outcome, shallow=shallow, deep=deep, plain=plain, resnet=resnet)
