"""`runs list`, `show`, `delete`, `export`, `import`."""

from pathlib import Path

import typer

from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table

app = typer.Typer(no_args_is_help=True, help="The store of runs.")
KEYS = ("run", "name", "model", "dataset", "status", "epoch", "valid_accuracy", "test_accuracy")


def _row(run: object) -> dict[str, object]:
    from resnet_core.runs import Run

    assert isinstance(run, Run)
    values = {"model": run.model_name, "dataset": run.dataset}
    return {key: values.get(key, getattr(run, key, None)) for key in KEYS}


@app.command("list")
def list_(as_json: bool = JSON_OPTION) -> None:
    """All runs, the newest first."""
    from resnet_core.runs import Store

    rows = [_row(run) for run in Store().runs()]
    if as_json:
        write_json(rows)
    else:
        write_table(KEYS, [list(row.values()) for row in rows])


@app.command()
def show(run: str, as_json: bool = JSON_OPTION) -> None:
    """One run: its settings, its epochs, its result, its checkpoints."""
    from resnet_core.errors import MESSAGES
    from resnet_core.runs import Store, checkpoints_of, read_epochs

    store = Store()
    found = store.run(run)
    error = None if found.error is None else MESSAGES[found.error[0]].format(**found.error[1])
    epochs = read_epochs(store, run)
    details = {
        **_row(found), "note": found.note, "error": error, "device": found.device, "created": found.created, "started": found.started, "ended": found.ended,
        "steps": found.step, "facts": found.facts, "result": found.result, "checkpoints": checkpoints_of(found.folder), "folder": str(found.folder),
        "config": found.config.to_dict(), "epochs": epochs,
    }  # fmt: skip
    if as_json:
        write_json(details)
        return
    for key in (*KEYS, "error", "checkpoints", "folder"):
        say(f"{key.replace('_', ' ')}: {details[key]}")
    columns = ("epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "learning_rate", "images_per_second")
    write_table(columns, [[getattr(row, column) for column in columns] for row in epochs])


@app.command()
def delete(run: str, as_json: bool = JSON_OPTION) -> None:
    """Remove a run with its weights for good; one that is running must be stopped first."""
    from resnet_core.runs import Store

    Store().purge(run)  # one that was deleted on the page too
    if as_json:
        write_json({"run": run, "deleted": True})
    else:
        say(f"Run {run} is deleted.")


@app.command()
def export(run: str, file: Path, as_json: bool = JSON_OPTION) -> None:
    """Write a run with everything it has (settings, metrics, weights, resume state) to one zip file."""
    from resnet_core.runs import Store
    from resnet_core.runs.archive import export_run

    export_run(Store(), run, file)
    if as_json:
        write_json({"run": run, "file": str(file), "bytes": file.stat().st_size})
    else:
        say(f"Run {run} is in {file} ({file.stat().st_size:,} bytes).")


@app.command("export-tensorboard")
def export_tensorboard(
    run: str, folder: Path = typer.Argument(metavar="DIR", help="gets a folder for the run"), as_json: bool = JSON_OPTION
) -> None:
    """Write a run's curves as event files of TensorBoard (needs the extra: tensorboard); 'tensorboard --logdir DIR' shows them."""
    from resnet_core.runs.exports import export_tensorboard as write
    from resnet_core.runs.store import Store

    target = write(Store(), run, folder)
    if as_json:
        write_json({"run": run, "folder": str(target)})
    else:
        say(f"Run {run} is in {target}; 'tensorboard --logdir {folder}' shows it.")


@app.command("export-mlflow")
def export_mlflow(
    run: str,
    target: str = typer.Argument(metavar="TARGET", help="a folder, or a tracking URI such as http://host:5000"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Write a run's settings and curves into MLflow (needs the extra: mlflow); a folder gets an mlflow.db."""
    from resnet_core.runs.exports import export_mlflow as write
    from resnet_core.runs.store import Store

    uri = write(Store(), run, target)
    if as_json:
        write_json({"run": run, "tracking_uri": uri})
    else:
        say(f"Run {run} is in {uri}; 'mlflow ui --backend-store-uri {uri}' shows it.")


@app.command("import")
def import_(file: Path, as_json: bool = JSON_OPTION) -> None:
    """Add a run that was exported elsewhere; it gets a new id when its own one is taken."""
    from resnet_core.runs import Store
    from resnet_core.runs.archive import import_run

    found = import_run(Store(), file)
    if as_json:
        write_json(_row(found))
    else:
        say(f"Imported run {found.run} ({found.status}).")


@app.command()
def ship(
    run: str,
    name: str,
    folder: Path = typer.Option(None, help="where to; without it, checkpoints/"),
    half: bool = typer.Option(False, "--half", help="store convolutions and the head in float16, and measure the accuracy again"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Make a finished run a checkpoint that comes with the project: weights, history and model card."""
    from resnet_core.runs import Store
    from resnet_core.runs.opening import SHIPPED
    from resnet_core.shipping import ship as ship_run

    file = ship_run(Store(), run, name, folder or SHIPPED, half=half)
    if as_json:
        write_json({"run": run, "name": name, "file": str(file), "bytes": file.stat().st_size})
    else:
        say(f"Wrote {file}")
