"""`degradation`: plain and residual networks of several depths by several seeds, and the table that Home draws."""

from pathlib import Path

import typer

from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table


def degradation(
    recipe: Path | None = typer.Option(None, help="settings that all share; without it, checkpoints/recipes/degradation.toml"),
    depths: list[int] = typer.Option([], "--depth", help="8, 20, ... (6n + 2); several times; without it 8, 20, 32, 44, 56"),
    seeds: list[int] = typer.Option([], "--seed", help="several times; without it 0, 1, 2"),
    start: bool = typer.Option(False, "--start", help="queue the trainings that are missing; they run in the background"),
    write: Path | None = typer.Option(None, help="write what is finished to this JSON file"),
    as_json: bool = JSON_OPTION,
) -> None:
    """The degradation experiment of He et al. 2015: do deeper networks train worse, with and without shortcuts?

    `--start` queues what is missing; without it, what is finished is told. Stopped trainings go on with `train --resume RUN`.
    """
    from resnet_core.runs import Store
    from resnet_core.runs import queue as trainings
    from resnet_core.runs.degradation import DEPTHS, RECIPE, SEEDS, collect, experiment, missing, read_base, verdict, write_result

    store = Store()
    configs = experiment(read_base(recipe or RECIPE), depths or DEPTHS, seeds or SEEDS)
    if start:
        for config in missing(store, configs):
            trainings.start(store, [config], names=[f"degradation-{config.model.model}-{config.train.seed}"])
    result = collect(store, configs)
    if result is not None and write is not None:
        write_result(result, write)
    rows = result.rows if result is not None else ()
    if as_json:
        write_json({"wanted": len(configs), "result": result, "verdict": verdict(result) if result is not None else None})
        return
    say(f"{len(rows)} of {len(configs)} networks are trained.")
    columns = ("family", "depth", "seed", "train_loss", "train_accuracy", "test_accuracy", "seconds")
    if rows:
        write_table(columns, [[getattr(row, column) for column in columns] for row in rows])
