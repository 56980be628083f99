"""`probe C`: how the answer forms from block to block."""

from typing import TYPE_CHECKING

import typer

from resnet_core.commands.evaluate import CHECKPOINT, data_for, require_classes
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.config import DataConfig
    from resnet_core.data import Split
    from resnet_core.runs import Checkpoint


def probe(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(500, min=1, help="images, drawn at random"),
    seed: int = typer.Option(0, min=0, help="seed of the draw"),
    train_count: int = typer.Option(2000, min=1, help="training images that the probes are fitted on, drawn with seed 0"),
    as_json: bool = JSON_OPTION,
) -> None:
    """What the head reads behind each block of the last stage (logit lens), and ridge probes behind earlier ones: both approximate."""
    from resnet_core.data import load_split, some_images
    from resnet_core.inspection import decisions, fit_probes
    from resnet_core.runs import find_checkpoint, load_model, require_channels

    found, progress = find_checkpoint(checkpoint), Progress()
    config = data_for(found, dataset)
    spec, images = load_split(config, split)
    require_channels(found, spec.channels)
    require_classes(found, spec)
    training = _training_images(found, config)
    indices = some_images(len(images), count, seed)
    chosen, learned = images.take(indices), training.take(some_images(len(training), train_count, 0))
    model = load_model(found)
    probes = fit_probes(model, learned, found.spec, progress=lambda done, total: progress.show(f"probes: {done:,} of {total:,} images"))
    report = decisions(model, chosen, found.spec, probes, progress=lambda done, total: progress.show(f"{done:,} of {total:,} images"))
    progress.end()
    names = [block.name for block in report.blocks]
    if as_json:
        answers = report.answers
        write_json(
            {
                "checkpoint": found.name, "split": split, "count": len(chosen), "seed": seed, "train_count": len(learned), "approximate": True,
                "blocks": report.blocks, "right_then_wrong": report.right_then_wrong,
                "images": [
                    {
                        "index": index, "label": label, "answer": answers[place, -1], "decided": names[report.decided[place]],
                        "probabilities": report.probabilities[place, :, answers[place, -1]],
                    }
                    for place, (index, label) in enumerate(zip(indices.tolist(), report.labels.tolist(), strict=True))
                ],
            }
        )  # fmt: skip
        return
    decided = [(report.decided == place).mean() for place in range(len(names))]
    write_table(
        ("name", "method", "accuracy", "decided here"),
        [(b.name, b.method, b.accuracy, float(d)) for b, d in zip(report.blocks, decided, strict=True)],
    )
    print(
        f"{report.right_then_wrong} of {len(chosen):,} images were right behind an earlier block and wrong at the end (approximate readings)."
    )


def _training_images(checkpoint: "Checkpoint", shown: "DataConfig") -> "Split":
    """The checkpoint's own training images; where they are not on this machine, those of the data set that is shown."""
    from resnet_core.data import load_split

    try:
        return load_split(checkpoint.config.data, "train")[1]
    except UserError as error:
        if error.code != "data_missing":
            raise
        return load_split(shown, "train")[1]
