"""`shatter [C]`: how fast gradients of neighbouring inputs lose each other."""

from typing import TYPE_CHECKING

import typer

from resnet_core.commands.evaluate import data_for
from resnet_core.commands.output import JSON_OPTION, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.inspection import LineGradients


def shatter(
    checkpoint: str | None = typer.Argument(None, metavar="[C]", help="a run, a shipped name, or a path; without it, the toy network"),
    depth: int = typer.Option(24, help="toy: layers, 1 to 50"),
    kind: str = typer.Option("plain", help="toy: plain or resnet"),
    seeds: int = typer.Option(5, help="toy: networks to average over"),
    dataset: str | None = typer.Option(None, help="C: data set; without it, the checkpoint's own"),
    first: int = typer.Option(0, help="C: test image at the start of the line"),
    second: int = typer.Option(1, help="C: test image at its end"),
    initial: bool = typer.Option(False, "--initial", help="C: the same network before its first step"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Autocorrelation of gradients along a line of 256 inputs: of the scalar toy with 200 units, or of C between two test images."""
    from resnet_core.inspection import noise_autocorrelation, toy_gradients
    from resnet_core.inspection.shatter import NOISES

    found = toy_gradients(kind, depth, seeds=seeds) if checkpoint is None else _on_images(checkpoint, dataset, first, second, initial)
    noises = {name: noise_autocorrelation(name, lags=found.lags) for name in NOISES}
    if as_json:
        asked = {} if checkpoint is None else {"checkpoint": checkpoint, "first": first, "second": second, "initial": initial}
        write_json({**asked, **vars(found), **noises})
        return
    rows = zip(found.lags, found.autocorrelation, *noises.values(), strict=True)
    write_table(("lag", "autocorrelation", *noises), rows)


def _on_images(name: str, dataset: str | None, first: int, second: int, initial: bool) -> "LineGradients":
    from resnet_core.data import load_split, normalize, some_images
    from resnet_core.inspection import SETTLED_ON, line_gradients, settle_norms
    from resnet_core.runs import find_checkpoint, initial_model, is_drawn, load_model, require_channels

    found = find_checkpoint(name)
    spec, images = load_split(data_for(found, dataset), "test")
    require_channels(found, spec.channels)
    for index in (first, second):
        if not 0 <= index < len(images):
            raise UserError("index_out_of_range", name=spec.name, split="test", value=index, last=len(images) - 1)
    if first == second:
        raise UserError("same_image", value=first)
    model = initial_model(found) if initial else load_model(found)
    if is_drawn(found, initial=initial):
        settle_norms(model, normalize(images.take(some_images(len(images), SETTLED_ON, 0)).images, found.spec))
    start, end = (normalize(images.images[index : index + 1], found.spec) for index in (first, second))
    return line_gradients(model, start, end, int(images.labels[first]))
