"""`lesion C`: what a network still knows when blocks are switched off."""

import typer

from resnet_core.commands.evaluate import CHECKPOINT, data_for, require_classes
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table


def lesion(
    checkpoint: str = CHECKPOINT,
    more: list[str] = typer.Argument(None, metavar="[NAME ...]", help="further blocks, after --blocks"),
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    blocks: list[str] = typer.Option([], "--blocks", metavar="NAME [NAME ...]", help="blocks to switch off together, such as stages.1.0"),
    each: bool = typer.Option(False, "--each", help="every block alone"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(500, min=1, help="images, drawn at random"),
    seed: int = typer.Option(0, help="seed of the draw"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Accuracy with blocks replaced by their shortcuts, in eval mode and float32. Where a block changes the shape, its projection or
    zero-padding stays; a plain block becomes the identity or zero-padding."""
    from resnet_core.data import load_split, some_images
    from resnet_core.inspection import each_block, lesion_accuracies
    from resnet_core.runs import find_checkpoint, load_model, require_channels

    named = (*blocks, *(more or ()))
    if bool(named) == each or (more and not blocks):
        raise typer.BadParameter("give either --blocks NAME [NAME ...] or --each")
    found, progress = find_checkpoint(checkpoint), Progress()
    spec, images = load_split(data_for(found, dataset), split)
    require_channels(found, spec.channels)
    require_classes(found, spec)
    chosen, model = images.take(some_images(len(images), count, seed)), load_model(found)
    groups = each_block(model) if each else ((), named)
    whole, *lesions = lesion_accuracies(
        model, chosen, found.spec, groups, progress=lambda done, total: progress.show(f"{done:,} of {total:,} images")
    )
    progress.end()
    if as_json:
        write_json(
            {
                "checkpoint": found.name, "split": split, "count": len(chosen), "seed": seed, "accuracy": whole.accuracy, "per_class": whole.per_class,
                "lesions": [{"blocks": item.blocks, "accuracy": item.accuracy, "per_class": item.per_class} for item in lesions],
            }
        )  # fmt: skip
        return
    print(f"{whole.accuracy:.2%} of {len(chosen):,} {split} images right with all blocks")
    write_table(("without", "accuracy", "change"), [(" ".join(x.blocks), x.accuracy, x.accuracy - whole.accuracy) for x in lesions])
