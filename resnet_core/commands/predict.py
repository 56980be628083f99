"""`predict C IMAGE ...`: image files, prepared as a sketch is."""

from pathlib import Path

import typer

from resnet_core.commands.evaluate import CHECKPOINT
from resnet_core.commands.output import JSON_OPTION, write_json, write_table
from resnet_core.errors import UserError


def predict(
    checkpoint: str = CHECKPOINT,
    files: list[Path] = typer.Argument(metavar="IMAGE...", help="photos or scans of one handwritten digit each"),
    as_json: bool = JSON_OPTION,
) -> None:
    """The digit in each image file: dark ink on light paper or light on dark, any size."""
    from resnet_core.data.photo import prepare_photo
    from resnet_core.prediction import predict_sketch
    from resnet_core.runs import find_checkpoint, load_model, require_channels

    found = find_checkpoint(checkpoint)
    require_channels(found, 1)
    model, rows = load_model(found), []
    for file in files:
        sketch = prepare_photo(file)
        if sketch.empty:
            raise UserError("no_ink", path=file)
        probabilities = predict_sketch(model, found.spec, sketch.image)
        label = found.spec.classes[int(probabilities.argmax())]
        rows.append({"file": str(file), "label": label, "probabilities": probabilities, "prepared": sketch.image})
    if as_json:
        write_json(rows)
    else:
        write_table(("file", "label", "probability"), [(row["file"], row["label"], float(row["probabilities"].max())) for row in rows])  # type: ignore[attr-defined]
