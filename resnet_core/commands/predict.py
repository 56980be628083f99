"""`predict C IMAGE ...`: image files, prepared as a sketch is, by one network or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from resnet_core.commands.evaluate import CHECKPOINT
from resnet_core.commands.output import JSON_OPTION, Progress, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.prediction import Verdict

WORDS = {
    "sure": "surely {0}",
    "likely": "probably {0}",
    "odd": "{0}, but an unusual one",
    "unsure": "not sure: {0} or {1}",
    "none": "does not look like a digit",
}


def predict(
    checkpoint: str = CHECKPOINT,
    files: list[Path] = typer.Argument(metavar="IMAGE...", help="photos or scans of one handwritten digit each"),
    others: list[str] = typer.Option([], "--with", metavar="C", help="ask this network as well (may be given several times)"),
    as_json: bool = JSON_OPTION,
) -> None:
    """The digit in each image file: dark ink on light paper or light on dark, any size; and whether it looks like a digit at all."""
    from resnet_core.comparison import require_comparable
    from resnet_core.data.photo import prepare_photo
    from resnet_core.familiarity import familiarity_of
    from resnet_core.prediction import ask, verdict
    from resnet_core.runs import find_checkpoint, load_model, require_channels

    found = [find_checkpoint(name) for name in dict.fromkeys((checkpoint, *others))]
    for one in found:
        require_channels(one, 1)
        require_comparable(found[0], one)
    progress = Progress()
    asked = []
    for one in found:
        model = load_model(one)
        learning = f"{one.name} looks at digits, once: "
        known = familiarity_of(one, model, lambda done, total, said=learning: progress.show(f"{said}{done:,} of {total:,}"))  # type: ignore[misc]
        asked.append((one, model, known))
    progress.end()
    rows: list[dict[str, Any]] = []
    for file in files:
        sketch = prepare_photo(file)
        if sketch.empty:
            raise UserError("no_ink", path=file)
        opinions = [ask(one, model, sketch.image, known) for one, model, known in asked]
        said = verdict(opinions)
        rows.append(
            {
                "file": str(file),
                "label": said.answer,
                "certainty": said.certainty,
                "agree": said.agree,
                "probabilities": opinions[0].probabilities,
                "networks": [vars(opinion) | {"answer": opinion.answer} for opinion in opinions],
                "prepared": sketch.image,
                "verdict": said,
            }
        )
    if as_json:
        write_json(rows)
    else:
        write_table(("file", "network", "answer", "probability", "verdict"), [line for row in rows for line in _lines(row)])


def _lines(row: dict[str, Any]) -> list[tuple[object, ...]]:
    """One line per network; the file and the verdict stand in its first."""
    firsts: list[tuple[object, object]] = [(row["file"], _in_words(row["verdict"])), *[("", "")] * (len(row["networks"]) - 1)]
    return [
        (file, opinion["network"], opinion["answer"], float(opinion["probabilities"].max()), said)
        for (file, said), opinion in zip(firsts, row["networks"], strict=True)
    ]


def _in_words(said: "Verdict") -> str:
    return WORDS[said.certainty].format(said.answer, said.runner_up)
