"""One block opened to its layers, top to bottom: the shortcut as an arc beside them with its own layers on it, the add as a node.

Any network's block: what does not come from the layer above comes in an arc.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dashboard.charts.diagram import NORMAL, SMALL, DiagramWords, Drawing, Item, fitting, path_item, shape_text, short_number, text_item
from resnet_core.models.diagram import Block
from resnet_core.models.tracing import Step

LAYER, LAYER_HEIGHT, PITCH = 188, 25, 46
TOP = 44.0  # where x stands
LANE = 116.0  # room left of the layers for arcs, and for layers on the shortcut
MIDDLE = LANE + LAYER / 2
ENTRY, ADD = 10.0, 11.0  # radii
COLUMNS = (62, 56, 46)  # widths of the numbers beside the layers
ASIDE = 96.0  # width of a layer on the shortcut
ROUND = 12  # px, corners of arcs


@dataclass(frozen=True, kw_only=True)
class _Arc:
    """From one height to another, around the layers between."""

    source: float
    target: float
    begin: float
    end: float
    label: str
    is_shortcut: bool


@dataclass(kw_only=True)
class _Block:
    """What stands where. `rows` are the heights of the layers of the main path."""

    block: Block
    known: dict[str, Step]
    words: DiagramWords
    main: list[Step] = field(init=False)
    aside: list[Step] = field(init=False)
    rows: dict[str, float] = field(init=False)
    items: list[Item] = field(default_factory=list)
    arcs: list[_Arc] = field(default_factory=list)

    def __post_init__(self) -> None:
        inside = [self.known[name] for name in self.block.steps]
        self.main = [step for step in inside if step.name not in self.block.aside]
        self.aside = [step for step in inside if step.name in self.block.aside]
        self.rows = {step.name: TOP + PITCH * place for place, step in enumerate(self.main, start=1)}

    def is_outside(self, name: str) -> bool:
        return name not in self.rows and name not in self.block.aside

    def entry_shape(self) -> str:
        """Of what comes in; of everything that comes in where the first layer takes several things from outside (DenseNet)."""
        names = list(dict.fromkeys(name for name in self.main[0].inputs if self.is_outside(name)))
        if len(names) < 2:
            return shape_text(self.block.input_shape)
        shapes = [shape_text(self.known[name].output_shape) for name in names]
        return " + ".join(shapes) if len(shapes) == 2 else f"{shapes[0]} + … + {shapes[-1]} ({len(shapes)})"


def opened(block: Block, steps: Sequence[Step], words: DiagramWords) -> Drawing:
    """`steps` are all of the network."""
    drawn = _Block(block=block, known={step.name: step for step in steps}, words=words)
    _titles(drawn)
    above: Step | None = None
    for step in drawn.main:
        _incoming(drawn, step, above)
        _layer(drawn, step)
        above = step
    _draw_arcs(drawn)
    _beside(drawn)
    last = drawn.main[-1]
    end = drawn.rows[last.name]
    drawn.items.append(path_item(f"M{MIDDLE} {end + _half(last)}V{end + PITCH - 14}", "edge", arrow=True))
    drawn.items.append(text_item(MIDDLE + 8, end + PITCH - 14, shape_text(last.output_shape), size=SMALL, faint=True))
    return Drawing(width=LANE + LAYER + 8 + sum(COLUMNS) + 6, height=end + PITCH, items=drawn.items)


def _titles(drawn: _Block) -> None:
    words, x = drawn.words, LANE + LAYER + 8
    for width, text in zip(COLUMNS, (words.column_parameters, words.column_macs, words.column_sees), strict=True):
        x += width
        drawn.items.append(text_item(x, TOP + 4, text, size=SMALL, faint=True, anchor="end"))
    drawn.items.append({"kind": "node", "x": MIDDLE, "y": TOP, "r": ENTRY, "mark": "entry"})
    drawn.items.append(text_item(MIDDLE, TOP + 4, "x", anchor="middle", strong=True))


def _layer(drawn: _Block, step: Step) -> None:
    y, words = drawn.rows[step.name], drawn.words
    if _is_add(step):
        text = words.add if drawn.block.shortcut == "identity" else words.add_shaped
        drawn.items.append({"kind": "node", "x": MIDDLE, "y": y, "r": ADD, "mark": "add", "title": text})
        drawn.items.append(text_item(MIDDLE + 18, y + 4, text, size=SMALL, strong=True))
    else:
        mark = "layer weighted" if step.parameters and step.macs else "layer"
        drawn.items.append(
            {"kind": "box", "x": LANE, "y": y - LAYER_HEIGHT / 2, "w": LAYER, "h": LAYER_HEIGHT, "mark": mark, "title": _hint(step)}
        )
        drawn.items.append(text_item(MIDDLE, y + 4, fitting(_layer_name(step), LAYER - 8, NORMAL), anchor="middle"))
    sees = words.sees_all if step.receptive_field is None else f"{step.receptive_field} px"
    numbers = (f"{step.parameters:,}" if step.parameters else "–", short_number(step.macs) if step.macs else "–", sees)
    x = LANE + LAYER + 8
    for width, text in zip(COLUMNS, numbers, strict=True):
        x += width
        drawn.items.append(text_item(x, y + 4, text, size=SMALL, anchor="end", faint=text == "–"))


# -- edges -----------------------------------------------------------------------------------------------------------------------------


def _incoming(drawn: _Block, step: Step, above: Step | None) -> None:
    """Straight from the layer above (or from x); an arc from further up. Several things from outside are one edge."""
    y, entered = drawn.rows[step.name], False
    for name in step.inputs:
        outside = drawn.is_outside(name)
        if name in drawn.block.aside or (outside and entered):
            continue
        entered = entered or outside
        if (outside and above is None) or (above is not None and name == above.name):
            start = TOP + ENTRY if above is None else drawn.rows[name] + _half(above)
            label = drawn.entry_shape() if above is None else shape_text(drawn.known[name].output_shape)
            drawn.items.append(path_item(f"M{MIDDLE} {start}V{y - _half(step)}", "edge", arrow=True))
            drawn.items.append(text_item(MIDDLE + 8, (start + y - _half(step)) / 2 + 3, label, size=SMALL, faint=True))
        else:
            drawn.arcs.append(_arc(drawn, name, step))


def _arc(drawn: _Block, name: str, step: Step) -> _Arc:
    is_shortcut = _is_add(step) and drawn.block.shortcut is not None
    end = MIDDLE - ADD if _is_add(step) else LANE
    if drawn.is_outside(name):
        shape = drawn.block.input_shape
        return _Arc(
            source=TOP, target=drawn.rows[step.name], begin=MIDDLE - ENTRY, end=end, label=shape_text(shape), is_shortcut=is_shortcut
        )
    source = drawn.known[name]
    after_add = _is_add(source)
    return _Arc(
        source=drawn.rows[name] + (5 if after_add else 0),  # below the arc that ends there
        target=drawn.rows[step.name],
        begin=MIDDLE - ADD + 1 if after_add else LANE,
        end=end,
        label=shape_text(source.output_shape),
        is_shortcut=is_shortcut,
    )


def _draw_arcs(drawn: _Block) -> None:
    """The longer an arc, the further out it runs; each in a lane of its own."""
    by_length = sorted(drawn.arcs, key=lambda arc: arc.target - arc.source)
    for place, arc in enumerate(by_length):
        share = (place + 1) / len(by_length)
        out = LANE - 24 - (LANE - 42) * (share if len(by_length) > 1 else 0.4)
        mark = "shortcut identity" if arc.is_shortcut else "edge"
        drawn.items.append(path_item(_around(arc.begin, arc.source, out, arc.target, arc.end), mark, arrow=True))
        label = text_item(out - 5, (arc.source + arc.target) / 2, arc.label, size=SMALL, faint=not arc.is_shortcut, anchor="middle")
        drawn.items.append({**label, "turn": -90})


def _around(begin: float, source: float, out: float, target: float, end: float) -> str:
    """Left, down and back to the right, with round corners."""
    return (
        f"M{begin} {source}H{out + ROUND}Q{out} {source} {out} {source + ROUND}"
        f"V{target - ROUND}Q{out} {target} {out + ROUND} {target}H{end}"
    )


def _beside(drawn: _Block) -> None:
    """The shortcut's own layers on its way from x to the add."""
    if not drawn.aside:
        return
    target = next(drawn.rows[step.name] for step in drawn.main if _is_add(step))
    x = ASIDE / 2 + 2
    path = _around(MIDDLE - ENTRY, TOP, x, target, MIDDLE - ADD)
    drawn.items.append(path_item(path, f"shortcut {drawn.block.shortcut}", arrow=True))
    pitch = min(PITCH, (target - TOP - 40) / len(drawn.aside))
    top = (TOP + target) / 2 - pitch * (len(drawn.aside) - 1) / 2
    for place, step in enumerate(drawn.aside):
        y = top + pitch * place
        drawn.items.append(
            {"kind": "box", "x": x - ASIDE / 2, "y": y - 12, "w": ASIDE, "h": 24, "mark": "layer onshortcut", "title": _hint(step)}
        )
        drawn.items.append(text_item(x, y + 4, fitting(_layer_name(step, short=True), ASIDE - 4), size=SMALL, anchor="middle"))
    if parameters := sum(step.parameters for step in drawn.aside):
        drawn.items.append(text_item(x + 6, top - 19, f"+{parameters:,}", size=SMALL))
    below = top + pitch * (len(drawn.aside) - 1) + 26
    drawn.items.append(text_item(x + 6, below, shape_text(drawn.aside[-1].output_shape), size=SMALL))


# -- words -----------------------------------------------------------------------------------------------------------------------------


def _is_add(step: Step) -> bool:
    return step.kind in ("add", "Add") and len(step.inputs) > 1


def _half(step: Step) -> float:
    return ADD if _is_add(step) else LAYER_HEIGHT / 2


def _layer_name(step: Step, *, short: bool = False) -> str:
    """Conv2d 3×3, 64, /2: kernel, channels, stride; on the shortcut without the kind."""
    kind = {"Conv2d": "", "BatchNorm2d": "BatchNorm"}.get(step.kind, step.kind) if short else step.kind
    if not step.kernel:
        return f"{kind} {step.output_shape[-1]}" if step.kind == "Linear" else kind
    parts = ["×".join(map(str, step.kernel))]
    if step.macs:
        parts.append(str(step.output_shape[0]))
    if max(step.stride, default=1) > 1:
        parts.append(f"/{step.stride[0]}")
    if step.groups > 1:
        parts.append(f"C={step.groups}")
    return f"{kind} {', '.join(parts)}".strip()


def _hint(step: Step) -> str:
    return f"{step.name}: {step.kind}, {shape_text(step.output_shape)}"
