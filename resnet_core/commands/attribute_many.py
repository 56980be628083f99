"""`attribute-many C`: a method over many images, and whether another network looks at different places."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from resnet_core.commands.attribute import METHOD, SETTINGS, Opened, class_of, open_for, rows_of
from resnet_core.commands.evaluate import CHECKPOINT, data_for
from resnet_core.commands.output import JSON_OPTION, Progress, parse_settings, say, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from resnet_core.attribution import Cohort
    from resnet_core.runs import Checkpoint


def attribute_many(
    checkpoint: str = CHECKPOINT,
    method: str = METHOD,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(100, min=2, help="images, drawn at random"),
    label: str | None = typer.Option(None, "--class", help="only images of this class, by number or name"),
    against: str | None = typer.Option(None, help="another checkpoint B, asked about the same images"),
    second: str | None = typer.Option(None, help="C trained from another seed: how much two trainings differ anyway"),
    settings: list[str] = SETTINGS,
    score: bool = typer.Option(False, "--score", help="what the maps are worth, too"),
    seed: int = typer.Option(0, min=0, help="seed of the images and of what a method draws"),
    to: Path | None = typer.Option(None, help="CSV file for a row per image and network"),
    as_json: bool = JSON_OPTION,
) -> None:
    """A method over many images for their labels: means with 95% intervals, B's figures minus C's, and how alike the maps are."""
    from resnet_core.attribution import QualitySettings, figure_gaps, get_method, influence, over_images, to_csv
    from resnet_core.comparison import data_at_size_of, require_comparable
    from resnet_core.data import some_images
    from resnet_core.runs import find_checkpoint
    from resnet_core.runs.files import write_atomically

    if second is not None and against is None:
        raise typer.BadParameter("--second needs --against B: it is the yardstick for how C and B differ")
    get_method(method)  # before anything is read
    names = {"c": checkpoint, **({"b": against} if against else {}), **({"second": second} if second else {})}
    found = {key: find_checkpoint(name) for key, name in names.items()}
    data, progress = data_for(found["c"], dataset), Progress()
    for other in found.values():
        require_comparable(found["c"], other)
        require_one_size(found["c"], other)
    opened = {key: open_for(one, data_at_size_of(one, data), split) for key, one in found.items()}
    places = _places_of(label, opened["c"])
    chosen = places[some_images(len(places), count, seed)]
    cohorts: dict[str, Cohort] = {}
    for key, one in opened.items():
        some = one.images.take(chosen)
        cohorts[key] = over_images(
            one.model, some.images, one.checkpoint.spec, method, parse_settings(settings), targets=some.labels.tolist(),
            indices=chosen.tolist(), quality=QualitySettings() if score else None, seed=seed, references=one.others, name=one.checkpoint.name,
            progress=partial(_show, progress, one.checkpoint.name),
        )  # fmt: skip
    progress.end()
    if to is not None:
        write_atomically(to, to_csv({opened[key].checkpoint.name: cohort for key, cohort in cohorts.items()}).encode())
    gaps = figure_gaps(cohorts["c"], cohorts["b"], seed=seed) if "b" in cohorts else None
    answer = influence(cohorts["c"], cohorts["b"], cohorts.get("second"), seed=seed) if "b" in cohorts else None
    if as_json:
        networks = [
            {"checkpoint": opened[key].checkpoint.name, "figures": cohort.figures, "mean_map": rows_of(cohort.mean_map)}
            for key, cohort in cohorts.items()
        ]
        write_json(
            {"method": method, "split": split, "count": len(chosen), "seed": seed, "networks": networks, "gaps": gaps, "influence": answer}
        )
        return
    for key, cohort in cohorts.items():
        print(f"{opened[key].checkpoint.name}: {method} over {len(cohort.rows):,} {split} images")
        write_table(("figure", "mean", "low", "high"), [(figure, x.value, x.low, x.high) for figure, x in cohort.figures.items()])
    if answer is not None and gaps is not None:
        _tell_influence(answer, gaps)


def require_one_size(a: "Checkpoint", b: "Checkpoint") -> None:
    sizes = [f"{one.spec.width}x{one.spec.height}" for one in (a, b)]
    if sizes[0] != sizes[1]:
        raise UserError("maps_differ_in_size", name=a.name, have=sizes[0], other=b.name, need=sizes[1])


def _show(progress: Progress, name: str, done: int, of: int) -> None:
    progress.show(f"{name}: {done:,} of {of:,} images")


def _places_of(label: str | None, opened: Opened) -> "Tensor":
    import torch

    if label is None:
        return torch.arange(len(opened.images))
    number = class_of(label, opened.checkpoint.spec)
    if not 0 <= number < len(opened.checkpoint.spec.classes):
        raise UserError("target_out_of_range", value=number, name=opened.checkpoint.name, last=len(opened.checkpoint.spec.classes) - 1)
    return torch.nonzero(opened.images.labels == number).flatten()


def _tell_influence(answer: Any, gaps: dict[str, Any]) -> None:
    from resnet_core.attribution import INFLUENCE_VERDICTS

    print("B minus C, image by image")
    write_table(("figure", "mean", "low", "high"), [(figure, x.value, x.low, x.high) for figure, x in gaps.items()])
    likeness: Sequence[tuple[str, Any]] = [("C and B", answer.networks), ("C and its second seed", answer.seeds)]
    rows = [(name, x.rank.value, x.rank.low, x.rank.high, x.top.value, x.top.low, x.top.high) for name, x in likeness if x is not None]
    print("how alike the maps are: rank correlation, overlap of the strongest 5%")
    write_table(("maps of", "rank", "low", "high", "top 5%", "low", "high"), rows)
    say(INFLUENCE_VERDICTS[answer.verdict])
