"""Drawings of no digit, from strokes as a person makes them: letters and signs that resemble none, and scribbles."""

import math
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_core.calibration import probabilities
from resnet_core.data import normalize
from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.pen_strokes import GRID_BRUSHES, GRID_SIZES, Points, StrokeDigit, prepared_split, read_unipen, render
from resnet_core.data.sketch import sketch_image
from resnet_core.data.sketch_training import redrawn
from resnet_core.familiarity import kept_familiarity, with_features
from resnet_core.prediction import Opinion, maps_of, verdict
from resnet_core.runs import Checkpoint, find_checkpoint, load_model


def line(*points: tuple[float, float]) -> Points:
    return np.array(points, float)


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> Points:
    """Around (x, y) with these radii, from one angle to the other in degrees, counted from the right upwards."""
    turn = np.radians(np.linspace(start, end, 24))
    return np.stack([x + width * np.cos(turn), y + height * np.sin(turn)], 1)


BOW = np.concatenate([line((0, 10)), arc(3, 7.5, 4, 2.5, 90, -90), line((0, 5))])
LETTERS: dict[str, tuple[Points, ...]] = {
    "A": (line((0, 0), (5, 10), (10, 0)), line((2, 4), (8, 4))),
    "E": (line((8, 10), (0, 10), (0, 0), (8, 0)), line((0, 5), (6, 5))),
    "F": (line((8, 10), (0, 10), (0, 0)), line((0, 5), (6, 5))),
    "H": (line((0, 0), (0, 10)), line((8, 0), (8, 10)), line((0, 5), (8, 5))),
    "K": (line((0, 0), (0, 10)), line((8, 10), (0, 4.5), (8, 0))),
    "M": (line((0, 0), (0, 10), (5, 4), (10, 10), (10, 0)),),
    "N": (line((0, 0), (0, 10), (8, 0), (8, 10)),),
    "P": (line((0, 0), (0, 10)), BOW),
    "R": (line((0, 0), (0, 10)), np.concatenate([BOW, line((3, 5), (8, 0))])),
    "T": (line((0, 10), (9, 10)), line((4.5, 10), (4.5, 0))),
    "W": (line((0, 10), (2.5, 0), (5, 8), (7.5, 0), (10, 10)),),
    "X": (line((0, 0), (8, 10)), line((0, 10), (8, 0))),
    "#": (line((2, 0), (4, 10)), line((6, 0), (8, 10)), line((0, 3), (10, 3)), line((0, 7), (10, 7))),
    "star": (np.array([[5 * math.sin(0.8 * math.pi * k), 5 * math.cos(0.8 * math.pi * k)] for k in range(6)]),),
    "face": (arc(5, 5, 5, 5, 0, 360), arc(5, 5, 3, 3, 200, 340), line((3.5, 6.5), (3.5, 6.6)), line((6.5, 6.5), (6.5, 6.6))),
}


def letters(count: int, seed: int = 0) -> torch.Tensor:
    """uint8 (count, 1, 28, 28), slanted, bent, thick and thin by chance."""
    random = np.random.default_rng(seed)
    names = list(LETTERS)
    return _drawn((LETTERS[names[number % len(names)]] for number in range(count)), random)


def scribbles(count: int, seed: int = 0) -> torch.Tensor:
    """Many corners, zigzags and loops."""
    random = np.random.default_rng(seed)
    return _drawn(((_scribble(number % 3, random),) for number in range(count)), random)


def _scribble(kind: int, random: np.random.Generator) -> Points:
    if kind == 0:
        return random.uniform(0, 10, (int(random.integers(7, 16)), 2))
    if kind == 1:
        turns = 2 * int(random.integers(5, 11))
        return np.stack([np.linspace(0, 10, turns), np.where(np.arange(turns) % 2, 10, 0) * random.uniform(0.7, 1, turns)], 1)
    angle = np.linspace(0, 2 * math.pi * random.uniform(4, 7), 200)
    return np.stack([angle / 2 + 3 * np.cos(angle), 3 * np.sin(angle)], 1)


def _drawn(shapes: Iterable[tuple[Points, ...]], random: np.random.Generator) -> torch.Tensor:
    images: list[NDArray[np.uint8]] = []
    for strokes in shapes:
        shape = redrawn(StrokeDigit(label=0, writer=1, strokes=strokes), random)
        images.append(sketch_image(render(shape, random.uniform(8, 24), random.uniform(0.4, 0.95))))
    return torch.from_numpy(np.stack(images))[:, None]


def main() -> None:
    """The rates that docs/sketch.md tells, of the shipped pair; with a UNIPEN file also on the strokes of writers 21 to 30."""
    test = read_mnist_mini("test")
    sets = {"MNIST's test images, every fourth": (test.images[::4], test.labels[::4])}
    if len(sys.argv) > 1:
        digits = [digit for digit in read_unipen(Path(sys.argv[1])) if digit.writer > 20][::16]
        drawn = [prepared_split(digits, brush, size, 0) for brush in GRID_BRUSHES for size in GRID_SIZES]
        sets["pen strokes of ten writers, every brush and size"] = (
            torch.cat([split.images for split in drawn]),
            torch.cat([split.labels for split in drawn]),
        )
    nothing = torch.full((450,), -1)
    sets |= {"letters and signs": (letters(450), nothing), "scribbles": (scribbles(450), nothing)}
    pair = [find_checkpoint(name) for name in ("resnet20-mnist", "plain20-mnist")]
    for title, (images, labels) in sets.items():
        found = [verdict(opinions) for opinions in zip(*(_opinions(one, images) for one in pair), strict=True)]
        said = [one.certainty for one in found]
        shares = ", ".join(f"{word} {said.count(word) / len(said):.1%}" for word in ("sure", "likely", "odd", "unsure", "none"))
        sure = [int(one.answer) == int(label) for one, label in zip(found, labels, strict=True) if one.certainty == "sure"]
        right = f"; of the sure ones {sum(sure) / max(len(sure), 1):.2%} right" if labels[0] >= 0 else ""
        sys.stdout.write(f"{title} ({len(images):,}): {shares}{right}\n")
        sys.stdout.flush()


def _opinions(checkpoint: Checkpoint, images: torch.Tensor) -> list[Opinion]:
    """`prediction.ask` of many at once."""
    model, known, found = load_model(checkpoint), kept_familiarity(checkpoint), []
    assert known is not None
    for part in images.split(250):
        logits, features = with_features(model, normalize(part, checkpoint.spec), maps_of(checkpoint))
        table = probabilities(logits.numpy(), checkpoint.metrics["temperature"]).astype(np.float32)
        for row, score in zip(table, known.scores(features).tolist(), strict=True):
            strange = {"strangeness": score - known.limit, "oddness": score - known.doubt}
            found.append(Opinion(network=checkpoint.name, classes=checkpoint.spec.classes, probabilities=row, **strange))
    return found


if __name__ == "__main__":
    main()
