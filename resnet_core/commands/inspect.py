"""`inspect C`: the residual against the shortcut in every block."""

import typer

from resnet_core.commands.evaluate import CHECKPOINT, data_for
from resnet_core.commands.output import JSON_OPTION, write_json, write_table

COLUMNS = ("name", "stage", "block", "residual_norm", "shortcut_norm", "output_norm", "ratio", "cosine", "dead_share")


def inspect(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(256, min=1, help="images, drawn at random"),
    seed: int = typer.Option(0, help="seed of the draw"),
    initial: bool = typer.Option(False, "--initial", help="the same network before its first step"),
    as_json: bool = JSON_OPTION,
) -> None:
    """|F|, |shortcut|, their ratio and cosine, |output| and the share of dead channels per block: means over images, eval mode, float32."""
    from resnet_core.data import load_split, normalize, some_images
    from resnet_core.inspection import residual_statistics, settle_norms
    from resnet_core.runs import find_checkpoint, initial_model, load_model, require_channels

    found = find_checkpoint(checkpoint)
    spec, images = load_split(data_for(found, dataset), split)
    require_channels(found, spec.channels)
    chosen = images.take(some_images(len(images), count, seed))
    inputs = normalize(chosen.images, found.spec)
    model = initial_model(found) if initial else load_model(found)
    untrained = initial or found.metrics.get("step") == 0
    blocks = residual_statistics(settle_norms(model, inputs) if untrained else model, inputs)
    if as_json:
        write_json({"checkpoint": found.name, "split": split, "count": len(chosen), "seed": seed, "mode": "eval", "blocks": blocks})
    else:
        write_table(COLUMNS, [[getattr(block, column) for column in COLUMNS] for block in blocks])
