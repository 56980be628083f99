"""How an image becomes smaller on its way through a network, drawn to scale: 224 -> 112 -> 56 -> 28 -> 14 -> 7."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.charts.diagram import Drawing, Item
from resnet_core.models.tracing import Step

LARGEST, GAP, LEAST = 132.0, 76.0, 48.0  # px: the largest square, room for an arrow, room for the words under a square
SMALLER = 0.62  # of these, in half of a page


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Maps of `side` px, made by the layer `by` (empty for the image)."""

    side: int
    channels: int
    by: str


def resolutions(steps: Sequence[Step], input_shape: Sequence[int]) -> list[Resolution]:
    """Every change of resolution; steps without maps (tokens, features) are left out, and those of 1 x 1 that larger maps follow: they
    weigh channels (squeeze and excitation)."""
    found = [Resolution(side=input_shape[1], channels=input_shape[0], by="")]
    maps = [(step, *_side_and_channels(step.output_shape)) for step in steps if len(step.output_shape) == 3]
    last_larger = max((place for place, (_, side, _) in enumerate(maps) if side > 1), default=-1)
    for place, (step, side, channels) in enumerate(maps):
        if side == 1 and place < last_larger:
            continue
        if side < found[-1].side:
            found.append(Resolution(side=side, channels=channels, by=step.name))
        elif side == found[-1].side:
            found[-1] = Resolution(side=side, channels=channels, by=found[-1].by)
    return found


def _side_and_channels(shape: Sequence[int]) -> tuple[int, int]:
    first, middle, last = shape
    return (middle, first) if middle == last else (middle, last)  # Swin's maps have their channels last


def shrinking(found: Sequence[Resolution], *, largest: int, words_image: str, words_channels: str, compact: bool = False) -> Drawing:
    """Squares in proportion to their sides (of `largest`, so that two drawings can be compared), the layer that shrinks between them."""
    full, gap = (LARGEST * SMALLER, GAP * 0.75) if compact else (LARGEST, GAP)
    items: list[Item] = []
    x, base = 6.0, full + 22
    for place, one in enumerate(found):
        side = max(full * one.side / largest, 5.0)
        width = max(side, LEAST)
        if place:
            items.append({"kind": "path", "d": f"M{x - gap + 6} {base - 9}H{x - 5}", "mark": "edge", "arrow": True})
            items.append(_text(x - gap / 2, base - 16, _short(one.by), anchor="middle", faint=True))
        items.append({"kind": "box", "x": x + (width - side) / 2, "y": base - side, "w": side, "h": side, "mark": "map"})
        items.append(_text(x + width / 2, base + 15, f"{one.side}×{one.side}", size=12, strong=True, anchor="middle"))
        channels = words_channels.format(count=one.channels) if place else words_image
        items.append(_text(x + width / 2, base + 29, channels, anchor="middle", faint=True))
        x += width + gap
    return Drawing(width=x - gap + 8, height=base + 36, items=items)


def _short(layer: str) -> str:
    """`stages.1.0.residual.conv2` is "2.1 conv2": stage, block and layer; of other paths the last two names."""
    names = layer.replace("@", ".").split(".")
    if names[0] == "stages" and len(names) > 3:
        return f"{int(names[1]) + 1}.{int(names[2]) + 1} {names[-1]}"
    return ".".join(names[-2:])


def _text(x: float, y: float, text: str, *, size: float = 9.5, strong: bool = False, faint: bool = False, anchor: str = "start") -> Item:
    mark = " ".join(filter(None, ["strong" if strong else "", "faint" if faint else ""]))
    return {"kind": "text", "x": x, "y": y, "text": text, "size": size, "anchor": anchor, "mark": mark}
