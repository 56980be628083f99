"""`evaluate C`: accuracy of a checkpoint on a split."""

from dataclasses import replace

import typer

from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table

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
    config = replace(found.config.data, dataset=dataset or found.config.data.dataset)
    spec, images = load_split(config, split)
    require_channels(found, spec.channels)
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
