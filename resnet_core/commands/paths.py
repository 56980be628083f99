"""`paths C`: how much of the gradient comes by paths of each length."""

import typer

from resnet_core.commands.evaluate import CHECKPOINT, data_for
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table

COLUMNS = ("length", "paths", "followed", "norm", "share", "sum_norm", "part")


def paths(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(16, min=1, help="images, drawn at random"),
    samples: int = typer.Option(8, min=1, help="paths of each length to follow, where there are more than 10 blocks"),
    seed: int = typer.Option(0, help="seed of the draws"),
    initial: bool = typer.Option(False, "--initial", help="the same network before its first step"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Paths by length, norm of one path's gradient, their product, and the exact sum over all paths of a length; eval mode."""
    from resnet_core.data import load_split, normalize, some_images
    from resnet_core.inspection import measure_paths, settle_norms
    from resnet_core.runs import find_checkpoint, initial_model, load_model, require_channels

    found = find_checkpoint(checkpoint)
    spec, images = load_split(data_for(found, dataset), split)
    require_channels(found, spec.channels)
    chosen = images.take(some_images(len(images), count, seed))
    inputs = normalize(chosen.images, found.spec)
    model = initial_model(found) if initial else load_model(found)
    if initial or found.metrics.get("step") == 0:
        settle_norms(model, inputs)
    progress = Progress()
    report = measure_paths(
        model,
        inputs,
        chosen.labels,
        samples=samples,
        seed=seed,
        progress=lambda done, total: progress.show(f"{done:,} of {total:,} passes through a block"),
    )
    progress.end()
    if as_json:
        write_json({"checkpoint": found.name, "split": split, "count": len(chosen), "seed": seed, "samples": samples, **vars(report)})
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
