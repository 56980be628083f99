"""`degradation`: plain and residual networks of several depths by several seeds, and the table that Home draws."""

from pathlib import Path

import typer

from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table


def degradation(
    recipe: Path | None = typer.Option(None, help="settings that all share; without it, checkpoints/recipes/degradation.toml"),
    depths: list[int] = typer.Option([], "--depth", help="8, 20, ... (6n + 2); several times; without it 8, 20, 32, 44, 56"),
    seeds: list[int] = typer.Option([], "--seed", help="several times; without it 0, 1, 2"),
    start: bool = typer.Option(False, "--start", help="queue the trainings that are missing; they run in the background"),
    write: Path | None = typer.Option(None, help="write what is finished to this JSON file, beside what it holds from other machines"),
    as_json: bool = JSON_OPTION,
) -> None:
    """The degradation experiment of He et al. 2015: do deeper networks train worse, with and without shortcuts?

    `--start` queues what is missing; without it, what is finished is told. Stopped trainings go on with `train --resume RUN`.
    """
    from resnet_core.runs import Store
    from resnet_core.runs import degradation as study
    from resnet_core.runs import queue as trainings

    store = Store()
    configs = study.experiment(study.read_base(recipe or study.RECIPE), depths or study.DEPTHS, seeds or study.SEEDS)
    if start:
        for config in study.missing(store, configs):
            trainings.start(store, [config], names=[f"degradation-{config.model.model}-{config.train.seed}"])
    result = study.collect(store, configs)
    trained = len(result.rows) if result is not None else 0
    if result is not None and write is not None:
        result = study.join(study.read_result(write), result)
        study.write_result(result, write)
    rows = result.rows if result is not None else ()
    if as_json:
        write_json({"wanted": len(configs), "result": result, "verdict": study.verdict(result) if result is not None else None})
        return
    say(f"{trained} of {len(configs)} networks are trained here.")
    columns = ("family", "depth", "seed", "train_loss", "train_accuracy", "test_accuracy", "seconds")
    if rows:
        write_table(columns, [[getattr(row, column) for column in columns] for row in rows])
