"""`evaluate C`: accuracy of a checkpoint on a split."""

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from resnet_core.commands.output import JSON_OPTION, Progress, say, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.config import DataConfig
    from resnet_core.data import DataSpec
    from resnet_core.runs import Checkpoint

CHECKPOINT = typer.Argument(metavar="C", help="a run, a shipped name, or a path")


def evaluate(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Accuracy, loss, accuracy per class and the confusion matrix (rows are labels), in float32."""
    import torch

    from resnet_core.data import load_split
    from resnet_core.runs import find_checkpoint, load_model, require_channels
    from resnet_core.training import pick_device, predict_batches, score

    found, where = find_checkpoint(checkpoint), pick_device(device)
    config = data_for(found, dataset)
    spec, images = load_split(config, split)
    require_channels(found, spec.channels)
    require_classes(found, spec)
    images, model, progress, parts = images.to(where), load_model(found, where), Progress(), []
    for done, logits in predict_batches(model, images, found.spec, device=where):
        parts.append(logits)
        progress.show(f"{done:,} of {len(images):,} images")
    progress.end()
    result = score(torch.cat(parts), images.labels, len(found.spec.classes))
    if as_json:
        write_json(
            {"accuracy": result.accuracy, "loss": result.loss, "n": result.n, "per_class": result.per_class, "confusion": result.confusion}
        )
        return
    print(f"{result.accuracy:.2%} of {result.n:,} {split} images of {config.dataset} right, loss {result.loss:.4f}")
    write_table(
        ("class", "accuracy", "images"), zip(found.spec.classes, result.per_class, (int(n) for n in result.confusion.sum(1)), strict=True)
    )


def data_for(checkpoint: "Checkpoint", dataset: str | None) -> "DataConfig":
    """The checkpoint's own data and split, or another data set at the size that its network was trained on."""
    own = checkpoint.config.data
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
