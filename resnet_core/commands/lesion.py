"""`lesion C`: what a network still knows when blocks are switched off."""

from pathlib import Path

import typer

from resnet_core.commands.evaluate import CHECKPOINT
from resnet_core.commands.looking import look_at
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table
from resnet_core.errors import UserError


def lesion(
    checkpoint: str = CHECKPOINT,
    more: list[str] = typer.Argument(None, metavar="[NAME ...]", help="further blocks, after --blocks"),
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    blocks: list[str] = typer.Option([], "--blocks", metavar="NAME [NAME ...]", help="blocks to switch off together, such as stages.1.0"),
    each: bool = typer.Option(False, "--each", help="every block alone"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(500, min=1, help="images, drawn at random"),
    seed: int = typer.Option(0, min=0, help="seed of the draw"),
    to: Path | None = typer.Option(None, "--to", metavar="OUT", help="write the network without --blocks as a checkpoint of its own"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Accuracy with blocks replaced by their shortcuts, in eval mode and float32. Where a block changes the shape, its projection or
    zero-padding stays; a plain block becomes the identity or zero-padding."""
    import numpy as np

    from resnet_core.inspection import each_block, lesion_accuracies
    from resnet_core.runs.shallower import Removal, save_shallower, shallower

    named = (*blocks, *(more or ()))
    if bool(named) == each or (more and not blocks):
        raise typer.BadParameter("give either --blocks NAME [NAME ...] or --each")
    if to is not None and each:
        raise typer.BadParameter("--to needs --blocks NAME [NAME ...]: which blocks are to go")
    looked, progress = look_at(checkpoint, dataset, split, count=count, seed=seed, initial=False, with_labels=True), Progress()
    found, chosen, model = looked.checkpoint, looked.chosen, looked.model
    if to is not None:
        config, _ = shallower(found, named)  # raises before anything is measured
    groups = each_block(model) if each else ((), named)
    whole, *lesions = lesion_accuracies(
        model, chosen, found.spec, groups, probabilities=True, progress=lambda done, total: progress.show(f"{done:,} of {total:,} images")
    )
    progress.end()
    if whole.probabilities is None or not np.isfinite(whole.probabilities).all():
        raise UserError("answers_not_finite", name=found.name)
    written = {}
    if to is not None:
        removal = Removal(blocks=named, accuracy_before=whole.accuracy, accuracy_after=lesions[0].accuracy, images=len(chosen), split=split)
        written = {"to": str(to), "weights_sha256": save_shallower(found, removal, to)}
    if as_json:
        write_json(
            {
                "checkpoint": found.name, "split": split, "count": len(chosen), "seed": seed, "accuracy": whole.accuracy, "per_class": whole.per_class,
                "lesions": [{"blocks": item.blocks, "accuracy": item.accuracy, "per_class": item.per_class} for item in lesions],
                **written,
            }
        )  # fmt: skip
        return
    print(f"{whole.accuracy:.2%} of {len(chosen):,} {split} images right with all blocks")
    write_table(("without", "accuracy", "change"), [(" ".join(x.blocks), x.accuracy, x.accuracy - whole.accuracy) for x in lesions])
    if to is not None:
        removed = ",".join(config.model.removed_blocks)
        print(
            f"written without {' '.join(named)} to {to}; a training can start from it: --set start_from={to} --set removed_blocks={removed}"
        )
