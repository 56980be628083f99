"""`paths C`: how much of the gradient comes by paths of each length."""

import typer

from resnet_core.commands.evaluate import CHECKPOINT
from resnet_core.commands.looking import look_at
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table

COLUMNS = ("length", "paths", "followed", "norm", "share", "sum_norm", "part")


def paths(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(16, min=1, help="images, drawn at random"),
    samples: int = typer.Option(8, min=1, help="paths of each length to follow, where there are more than 10 blocks"),
    seed: int = typer.Option(0, min=0, help="seed of the draws"),
    initial: bool = typer.Option(False, "--initial", help="the same network before its first step"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Paths by length, norm of one path's gradient, their product, and the exact sum over all paths of a length; eval mode."""
    from resnet_core.inspection import measure_paths

    looked = look_at(checkpoint, dataset, split, count=count, seed=seed, initial=initial, with_labels=True)
    progress = Progress()
    report = measure_paths(
        looked.model,
        looked.inputs,
        looked.chosen.labels,
        samples=samples,
        seed=seed,
        progress=lambda done, total: progress.show(f"{done:,} of {total:,} passes through a block"),
    )
    progress.end()
    if as_json:
        write_json(
            {
                "checkpoint": looked.checkpoint.name,
                "split": split,
                "count": len(looked.chosen),
                "seed": seed,
                "samples": samples,
                **vars(report),
            }
        )
        return
    followed = "all followed" if report.complete else f"{samples} of each length followed"
    print(
        f"{report.paths:,} paths through {report.blocks} blocks ({followed}); their sum differs from the gradient by {report.error:.1e} of it"
    )
    print(f"one more residual branch on a path multiplies the norm of its gradient by {report.factor:.2f}")
    write_table(
        COLUMNS,
        [
            [line.length, line.paths, line.followed, f"{line.norm:.3g}", line.share, f"{line.sum_norm:.3g}", line.part]
            for line in report.lengths
        ],
    )
