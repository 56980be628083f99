"""`evaluate C`: accuracy of a checkpoint on a split, or on pen strokes drawn thick or thin, small or large."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resnet_core.commands.output import JSON_OPTION, Progress, say, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from resnet_core.calibration import Calibration
    from resnet_core.config import DataConfig
    from resnet_core.data import DataSpec, Split
    from resnet_core.runs import Checkpoint
    from resnet_core.training import Evaluation

CHECKPOINT = typer.Argument(metavar="C", help="a run, a shipped name, or a path")


def evaluate(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    brush: float | None = typer.Option(None, help="pen-strokes: width of the brush in pixels of a canvas of 280", min=1, max=100),
    size: float | None = typer.Option(None, help="pen-strokes: size of the digits, share of the canvas", min=0.05, max=1.0),
    writers: str | None = typer.Option(None, metavar="N-M", help="pen-strokes: digits of these writers only"),
    grid: bool = typer.Option(False, "--grid", help="pen-strokes: every brush with every size, digits anywhere on the canvas"),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Accuracy, loss, accuracy per class, the confusion matrix (rows are labels) and how far confidence is off, in float32."""
    from resnet_core.calibration import judge_confidence
    from resnet_core.data import load_spec, load_split
    from resnet_core.runs import find_checkpoint, load_model, require_channels
    from resnet_core.training import pick_device

    found, where = find_checkpoint(checkpoint), pick_device(device)
    config = data_for(found, dataset)
    strokes = {"brush": brush, "size": size, "writers": writers, "grid": grid or None}
    asked = next((name for name, value in strokes.items() if value is not None), None)
    if asked is not None and not config.dataset.startswith("pen-strokes:"):
        raise UserError("strokes_only", field=f"--{asked}", dataset=config.dataset)
    drawn_below = asked is not None and split == "test"  # as asked: the file's own drawing would be thrown away
    spec, images = (load_spec(config), None) if drawn_below else load_split(config, split)
    require_channels(found, spec.channels)
    require_classes(found, spec)
    model, progress = load_model(found, where), Progress()

    def judge(images: "Split") -> "Evaluation":
        return _judged(model, images, found.spec, where, progress)

    if asked is not None:
        drawn = _drawn(config.dataset, writers, spec)
        if grid:
            _show_grid(drawn, judge, as_json=as_json)
            return
        images = drawn(brush, size, None)
    assert images is not None
    result = judge(images)
    trust = judge_confidence(result.logits, images.labels, found.metrics.get("temperature"))
    if as_json:
        measured = {"accuracy": result.accuracy, "loss": result.loss, "n": result.n}
        write_json({**measured, "per_class": result.per_class, "confusion": result.confusion, "calibration": trust})
        return
    print(f"{result.accuracy:.2%} of {result.n:,} {split} images of {config.dataset} right, loss {result.loss:.4f}")
    if math.isfinite(result.loss):
        print(f"confidence is off by {trust.error:.2%}" + _calibrated(trust))
    else:
        print("its outputs are not finite; 'inspect' shows the first block where they are not")
    write_table(
        ("class", "accuracy", "images"), zip(found.spec.classes, result.per_class, (int(n) for n in result.confusion.sum(1)), strict=True)
    )


def _calibrated(trust: "Calibration") -> str:
    if trust.temperature is None:
        return " (no temperature was fitted at the end of its training)"
    return f"; {trust.calibrated_error:.2%} with the temperature {trust.temperature:.3f} of its validation images"


def _judged(model: "nn.Module", images: "Split", spec: "DataSpec", where: "torch.device", progress: Progress) -> "Evaluation":
    import torch

    from resnet_core.training import predict_batches, score

    images, parts = images.to(where), []
    for done, logits in predict_batches(model, images, spec, device=where):
        parts.append(logits)
        progress.show(f"{done:,} of {len(images):,} images")
    progress.end()
    return score(torch.cat(parts), images.labels, len(spec.classes))


def _drawn(dataset: str, writers: str | None, spec: "DataSpec") -> "Callable[[float | None, float | None, int | None], Split]":
    """Draws the digits of the file with a brush at a size: in the middle, or with a seed anywhere on the canvas."""
    from resnet_core.data.pen_strokes import BRUSH, SIZE, digits_of, prepared_split, read_unipen
    from resnet_core.data.source import resized

    path = Path(dataset.partition(":")[2]).expanduser()
    digits = read_unipen(path)
    if writers is not None:
        digits = digits_of(digits, writers, path)

    def draw(brush: float | None, size: float | None, seed: int | None) -> "Split":
        split = prepared_split(digits, brush or BRUSH, size or SIZE, seed)
        return replace(split, images=resized(split.images, spec))

    return draw


def _show_grid(
    drawn: "Callable[[float | None, float | None, int | None], Split]", judge: "Callable[[Split], Evaluation]", *, as_json: bool
) -> None:
    from resnet_core.data.pen_strokes import GRID_BRUSHES, GRID_SIZES

    cells = {(brush, size): judge(drawn(brush, size, 0)) for brush in GRID_BRUSHES for size in GRID_SIZES}
    accuracies = [cell.accuracy for cell in cells.values()]
    mean, worst = sum(accuracies) / len(cells), min(accuracies)
    if as_json:
        rows = [{"brush": brush, "size": size, "accuracy": cell.accuracy, "n": cell.n} for (brush, size), cell in cells.items()]
        write_json({"mean": mean, "worst": worst, "grid": rows})
        return
    print(f"{mean:.2%} right on average over brush and size, {worst:.2%} in the worst cell")
    write_table(
        ("brush", *(f"size {size:g}" for size in GRID_SIZES)),
        ((f"{brush:g} px", *(f"{cells[brush, size].accuracy:.2%}" for size in GRID_SIZES)) for brush in GRID_BRUSHES),
    )


def data_for(checkpoint: "Checkpoint", dataset: str | None) -> "DataConfig":
    """The checkpoint's own data and split, or another data set at the size that its network was trained on."""
    from resnet_core.data import DATASETS

    own = checkpoint.config.data
    if dataset is None and checkpoint.is_imported and own.dataset not in DATASETS and ":" not in own.dataset:
        raise UserError("images_elsewhere", name=checkpoint.name, dataset=own.dataset)
    if dataset is None or dataset == own.dataset:
        return own
    return replace(own, dataset=dataset, image_size=checkpoint.spec.height)


def require_classes(checkpoint: "Checkpoint", spec: "DataSpec") -> None:
    """Raise checkpoint_classes unless there are as many; say so where they merely have other names."""
    have, need = checkpoint.spec.classes, spec.classes
    if len(have) != len(need):
        raise UserError("checkpoint_classes", name=checkpoint.name, have=len(have), dataset=spec.name, need=len(need))
    if have != need:
        say(f"The classes of {spec.name} have other names than those of {checkpoint.name}; they are compared by their order.")
