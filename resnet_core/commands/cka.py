"""`cka A B`: how alike the blocks of two networks see the same images."""

import typer

from resnet_core.commands.compare import FIRST, SECOND, data_of_pair
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table


def cka(
    first: str = FIRST,
    second: str = SECOND,
    dataset: str | None = typer.Option(None, help="data set; without it, A's own"),
    split: str = typer.Option("test", help="train, valid or test (the first two as A's training cut them)"),
    count: int = typer.Option(512, min=1, help="images, drawn at random"),
    batch_size: int = typer.Option(128, min=1, help="images per minibatch of the estimator"),
    seed: int = typer.Option(0, min=0, help="seed of the draw"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Linear CKA between every block of A and every block of B (layers, or rows of them, of a network without blocks): unbiased, over minibatches."""
    from resnet_core.comparison import cka_map, pair_images
    from resnet_core.data import normalize, some_images
    from resnet_core.runs import find_checkpoint, load_model

    pair, progress = (find_checkpoint(first), find_checkpoint(second)), Progress()
    data = data_of_pair(pair[0], dataset)
    splits = pair_images(pair[0], pair[1], data, split)
    chosen = some_images(len(splits[0]), count, seed)
    one, other = (normalize(images.take(chosen).images, c.spec) for c, images in zip(pair, splits, strict=True))
    found = cka_map(
        load_model(pair[0]),
        load_model(pair[1]),
        (one, other),
        batch_size=batch_size,
        progress=lambda done, total: progress.show(f"minibatch {done} of {total}"),
    )
    progress.end()
    if as_json:
        names = [checkpoint.name for checkpoint in pair]
        write_json(
            {
                "a": {"checkpoint": names[0], "blocks": found.a},
                "b": {"checkpoint": names[1], "blocks": found.b},
                "dataset": data.dataset,
                "split": split,
                "count": found.count,
                "batch_size": found.batch_size,
                "seed": seed,
                "cka": found.values,
            }
        )
        return
    write_table(("A \\ B", *found.b), [(name, *(float(v) for v in row)) for name, row in zip(found.a, found.values, strict=True)])
