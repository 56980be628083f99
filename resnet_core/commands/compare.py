"""`compare A B`: two networks on the same images, and whether they differ."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table

if TYPE_CHECKING:
    from resnet_core.comparison import Answers, Cost
    from resnet_core.config import DataConfig
    from resnet_core.runs import Checkpoint

FIRST = typer.Argument(metavar="A", help="a run, a shipped name, or a path")
SECOND = typer.Argument(metavar="B", help="another one, for images and classes of the same kind")


def compare(
    first: str = FIRST,
    second: str = SECOND,
    dataset: str | None = typer.Option(None, help="data set; without it, A's own"),
    split: str = typer.Option("test", help="train, valid or test (the first two as A's training cut them)"),
    count: int | None = typer.Option(None, min=1, help="images, drawn at random; without it, all"),
    seed: int = typer.Option(0, min=0, help="seed of the draw"),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Cost, speed, accuracy with its 95% interval, loss, calibration, accuracy per class, the matrix of A's answers (rows) against B's, and
    McNemar's exact test; what the two trainings have in common."""
    import torch

    from resnet_core.comparison import PairAnswers, answer, conditions, cost, pair_images
    from resnet_core.data import some_images
    from resnet_core.runs import find_checkpoint, load_model
    from resnet_core.training import pick_device

    pair, where, progress = (find_checkpoint(first), find_checkpoint(second)), pick_device(device), Progress()
    data = data_of_pair(pair[0], dataset)
    splits = pair_images(pair[0], pair[1], data, split)
    chosen = some_images(len(splits[0]), count or len(splits[0]), seed)
    answers, costs = [], []
    for checkpoint, images in zip(pair, splits, strict=True):
        model, name = load_model(checkpoint), checkpoint.name
        costs.append(cost(checkpoint))
        answers.append(
            answer(
                model,
                images.take(chosen),
                checkpoint.spec,
                device=where,
                progress=lambda done, total, name=name: progress.show(f"{name}: {done:,} of {total:,} images"),  # type: ignore[misc]
            )
        )
    progress.end()
    both, shared = PairAnswers(a=answers[0], b=answers[1]), conditions(*pair)
    rows = [_network(*parts) for parts in zip(pair, costs, answers, strict=True)]
    if as_json:
        write_json(
            {
                "dataset": data.dataset, "split": split, "n": len(both), "seed": seed, "device": str(where), "threads": torch.get_num_threads(),
                "networks": rows, "mcnemar": {**vars(both.mcnemar), "is_real": both.mcnemar.is_real}, "matrix": both.matrix(),
                "conditions": {**vars(shared), "same_settings": shared.same_settings},
            }
        )  # fmt: skip
        return
    columns = ("accuracy", "low", "high", "loss", "ece", "parameters", "macs", "bytes", "seconds_per_1000")
    write_table(("checkpoint", *columns), [(row["checkpoint"], *(row[column] for column in columns)) for row in rows])
    test = both.mcnemar
    verdict = "is real on these images" if test.is_real else "may be chance"
    print(
        f"{len(both):,} {split} images of {data.dataset}: A alone is right on {test.only_a}, B alone on {test.only_b}; "
        f"the difference {verdict} (McNemar's exact test, p = {test.p:.3g})."
    )
    marks = {None: "unknown", True: "yes", False: "no"}
    if shared.elsewhere:
        print(f"trained elsewhere, so weights, order and settings are not known: {', '.join(shared.elsewhere)}")
        return
    print(f"same initial weights: {marks[shared.same_weights]} ({shared.shared} shared, {shared.own} without a partner)")
    print(f"same data order: {marks[shared.same_order]}")
    print("same settings: " + ("yes" if shared.same_settings else ", ".join(f"{d.name} {d.a} / {d.b}" for d in shared.differences)))


def data_of_pair(checkpoint: "Checkpoint", dataset: str | None) -> "DataConfig":
    """A's own data and cut, or another data set cut with A's settings."""
    own = checkpoint.config.data
    return own if dataset in (None, own.dataset) else replace(own, dataset=str(dataset), image_size=None)


def _network(checkpoint: "Checkpoint", cost: "Cost", answers: "Answers") -> dict[str, Any]:
    accuracy, reliability = answers.accuracy, answers.reliability
    return {
        "checkpoint": checkpoint.name,
        "model": checkpoint.model_name,
        **vars(cost),
        "seconds_per_1000": answers.seconds_per_1000,
        "batch_size": answers.batch_size,
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "loss": answers.evaluation.loss,
        "ece": reliability.error,
        "reliability": [row for row in reliability.bins if row.count],
        "per_class": answers.evaluation.per_class,
    }
