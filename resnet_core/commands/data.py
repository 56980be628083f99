"""`data list` and `data fetch NAME`."""

import typer

from resnet_core.commands.output import JSON_OPTION, Progress, say, write_json, write_table

app = typer.Typer(no_args_is_help=True, help="Data sets: which are here, and fetching those that are not.")
MEGABYTE = 1e6


@app.command("list")
def list_(as_json: bool = JSON_OPTION) -> None:
    """All data sets by name: whether they are here, how many images, what kind."""
    from resnet_core.data import dataset_status

    rows = dataset_status()
    if as_json:
        write_json(rows)
        return
    names = ("name", "present", "train", "valid", "test", "channels", "size", "classes")
    write_table(names, [[getattr(row, name) for name in names] for row in rows])


@app.command()
def fetch(name: str, as_json: bool = JSON_OPTION) -> None:
    """Download a data set into $RESNET_DATA (default ./data), with progress; nothing happens when it is there."""
    from resnet_core.data import data_root, get_dataset
    from resnet_core.data import fetch as fetch_dataset

    progress = Progress()

    def show(done: int, total: int | None) -> None:
        whole = f" of {total / MEGABYTE:.1f}" if total else ""
        progress.show(f"{name}: {done / MEGABYTE:.1f}{whole} MB")

    was_here = get_dataset(name).is_present(data_root())
    try:
        fetch_dataset(name, progress=show)
    finally:
        progress.end()
    say(f"{name} is in {data_root()}" + (" already" if was_here else ""))
    if as_json:
        write_json({"name": name, "present": True, "path": str(data_root()), "fetched": not was_here})
