"""`inspect C`: the residual against the shortcut in every block."""

import typer

from resnet_core.commands.evaluate import CHECKPOINT
from resnet_core.commands.looking import look_at
from resnet_core.commands.output import JSON_OPTION, write_json, write_table

COLUMNS = ("name", "stage", "block", "residual_norm", "shortcut_norm", "output_norm", "ratio", "cosine", "dead_share")


def inspect(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(256, min=1, help="images, drawn at random"),
    seed: int = typer.Option(0, min=0, help="seed of the draw"),
    initial: bool = typer.Option(False, "--initial", help="the same network before its first step"),
    as_json: bool = JSON_OPTION,
) -> None:
    """|F|, |shortcut|, their ratio and cosine, |output| and the share of dead channels per block: means over images, eval mode, float32."""
    from resnet_core.inspection import residual_statistics

    looked = look_at(checkpoint, dataset, split, count=count, seed=seed, initial=initial)
    blocks = residual_statistics(looked.model, looked.inputs)
    if as_json:
        write_json(
            {
                "checkpoint": looked.checkpoint.name,
                "split": split,
                "count": len(looked.chosen),
                "seed": seed,
                "mode": "eval",
                "blocks": blocks,
            }
        )
    else:
        write_table(COLUMNS, [[getattr(block, column) for column in COLUMNS] for block in blocks])
