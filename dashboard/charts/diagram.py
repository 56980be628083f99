"""A network as a drawing: where every box, edge and word stands, in pixels. The browser draws it (assets/diagram.js).

All blocks in rows of their parts, each part with its building block as in He et al. 2015, table 1. One block opened to its layers is
block_diagram.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from resnet_core.models.diagram import Block, Part

SMALL, NORMAL = 10.5, 12.0  # px, sizes of text
LABEL = 152  # width of the column that names the parts
BOX, BOX_HEIGHT, GAP = 104, 58, 76
INTO = 30  # before the first box of a row, where what comes from above turns in
NODE = 14  # from a box to its add
ARC = 13  # how high a shortcut stands above its block
BETWEEN = 22  # between two rows
LINE = 15  # between two lines of text

Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DiagramWords:
    """What people read in a drawing. Placeholders: {number}, {first}, {last}, {count}, {value}, {shape}."""

    stem: str
    head: str
    stage: str
    block: str
    blocks: str
    alike: str
    parameters: str
    macs: str
    sees: str
    sees_all: str
    open: str
    column_parameters: str
    column_macs: str
    column_sees: str
    entry: str
    add: str
    add_shaped: str
    differs: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Boxes with a `value` can be chosen."""

    width: float
    height: float
    items: list[Item] = field(default_factory=list)


def shape_text(shape: Sequence[int]) -> str:
    """64×56×56: channels, height, width, also of maps that carry their channels last (Swin); 197×768: tokens, features."""
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        shape = (shape[2], shape[0], shape[1])
    return "×".join(str(size) for size in shape)


def short_number(value: int) -> str:
    """11.7 M, 36.9 k, 640."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return str(value)


# -- all blocks --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Group:
    """Blocks drawn as one box: one, or several alike in a row."""

    blocks: tuple[Block, ...]

    @property
    def first(self) -> Block:
        return self.blocks[0]


def grouped(part: Part, *, fold: bool) -> list[Group]:
    """With `fold`, neighbours that differ in nothing but what they see are one group."""
    if not fold:
        return [Group(blocks=(block,)) for block in part.blocks]
    runs = groupby(part.blocks, key=_looks)
    return [Group(blocks=tuple(run)) for _, run in runs]


def _looks(block: Block) -> tuple[Any, ...]:
    return (block.kind, block.lines, block.parameters, block.macs, block.input_shape, block.output_shape, block.shortcut)


def differing(parts: Sequence[Part], others: Sequence[Part]) -> frozenset[str]:
    """Names of blocks that the other network has not, or has otherwise, at the same place."""
    theirs = {(part.role, part.number, block.number): _looks(block)[1:] for part in others for block in part.blocks}
    return frozenset(
        block.name for part in parts for block in part.blocks if theirs.get((part.role, part.number, block.number)) != _looks(block)[1:]
    )


def overview(
    parts: Sequence[Part],
    input_shape: Sequence[int],
    words: DiagramWords,
    *,
    chosen: str | None,
    fold: bool = True,
    plain: bool = False,
    width: float = 700,
    differs: frozenset[str] = frozenset(),
) -> Drawing:
    """Every part as a row (or several) of boxes; on every edge the shape of what passes."""
    items: list[Item] = []
    a_row = max(1, int((width - LABEL - INTO + GAP - 24) // (BOX + GAP)))
    start = float(LABEL + INTO)
    y, shape, used = 22.0, tuple(input_shape), start + BOX
    items.append(text_item(start - 22, 12, f"{words.entry} {shape_text(shape)}", size=SMALL, faint=True))
    leaves = (start - INTO + 4, 2.0)  # where the last box's edge begins
    for part in parts:
        groups = grouped(part, fold=fold)
        items += _label(part, words, y)
        top = y
        for row in (groups[begin : begin + a_row] for begin in range(0, len(groups), a_row)):
            y += ARC
            for place, group in enumerate(row):
                x = start + place * (BOX + GAP)
                if place:
                    items += _edge(leaves[0], y + BOX_HEIGHT / 2, x - leaves[0], shape_text(shape))
                else:
                    items += _turn(leaves, x, y + BOX_HEIGHT / 2, shape_text(shape) if leaves[1] > 2 else "")
                items += _box(group, part, words, x, y, chosen=chosen, plain=plain, differs=differs)
                shape = group.blocks[-1].output_shape
                end = x + BOX + (NODE if group.first.shortcut else 0)
                leaves = (end, y + BOX_HEIGHT / 2)
                used = max(used, end + 18)
            y += BOX_HEIGHT + BETWEEN
        y = max(y, top + _label_height(part) + 6)
    items += _edge(leaves[0], leaves[1], 34, "")
    items.append(text_item(leaves[0] + 40, leaves[1] + 4, shape_text(shape), size=SMALL, faint=True))
    return Drawing(width=max(used, leaves[0] + 90), height=y - BETWEEN + 10, items=items)


def _label(part: Part, words: DiagramWords, y: float) -> list[Item]:
    """The part's name, and its building blocks in brackets as the paper writes them."""
    title = {"stem": words.stem, "head": words.head, "stage": words.stage.format(number=part.number)}.get(part.role, part.name)
    items = [text_item(2, y + 12, title, strong=True)]
    line = y + 12
    for lines, count in _brackets(part):
        line += 6
        start = line
        for text in lines:
            line += LINE - 2
            items.append(text_item(9 if count else 2, line, fitting(text, LABEL - 40 if count else LABEL - 8), size=SMALL))
        if count:
            items.append(path_item(f"M6 {start + 3}H3V{line + 4}H6", "bracket"))
            right = 14 + 5.6 * min(max(len(text) for text in lines), (LABEL - 40) // 5.6)
            items.append(path_item(f"M{right} {start + 3}h3V{line + 4}h-3", "bracket"))
            if count > 1:
                items.append(text_item(right + 8, (start + line) / 2 + 7, f"×{count}", size=NORMAL, strong=True))
    return items


def _brackets(part: Part) -> list[tuple[tuple[str, ...], int]]:
    """Building blocks with how often they follow each other, at most three of them; 0 for lists of layers that do not repeat."""
    runs = [(lines, len(list(group))) for lines, group in groupby(block.lines for block in part.blocks) if lines]
    if part.role in ("stem", "head"):
        return [(tuple(line for lines, count in runs for line in lines * count)[:7], 0)] if runs else []
    if len(runs) > 1 and all(count == 1 for _, count in runs):  # each block is another: only what kind they are
        kinds = [(kind, len(list(group))) for kind, group in groupby(block.kind for block in part.blocks if block.kind)]
        if kinds:
            return [((kind,), count) for kind, count in kinds[:2]]
    shown = [(lines if len(lines) <= 6 else (*lines[:5], "…"), count) for lines, count in runs[:2]]
    return [*shown, *([(("…",), 0)] if len(runs) > 2 else [])]


def _label_height(part: Part) -> float:
    return 18 + sum(6 + (LINE - 2) * len(lines) for lines, _ in _brackets(part))


def _box(
    group: Group, part: Part, words: DiagramWords, x: float, y: float, *, chosen: str | None, plain: bool, differs: frozenset[str]
) -> list[Item]:
    block, last = group.first, group.blocks[-1]
    count = len(group.blocks)
    if count > 1:
        title = words.blocks.format(first=block.number, last=last.number)
    else:
        title = _own_name(block, part) or words.block.format(number=block.number)
    numbers = [words.parameters.format(value=short_number(block.parameters)), words.macs.format(value=short_number(block.macs))]
    sees = words.sees_all if last.receptive_field is None else words.sees.format(value=_span(block, last))
    marks = ["block", "plain" if plain and not block.shortcut and part.role == "stage" else "", "aside" if part.role != "stage" else ""]
    is_chosen = any(one.name == chosen for one in group.blocks)
    changed = any(one.name in differs for one in group.blocks)
    items: list[Item] = []
    for depth in range(min(count - 1, 2), 0, -1):
        items.append({"kind": "box", "x": x + 4 * depth, "y": y + 4 * depth, "w": BOX, "h": BOX_HEIGHT, "mark": "block behind"})
    items.append(
        {
            "kind": "box",
            "x": x,
            "y": y,
            "w": BOX,
            "h": BOX_HEIGHT,
            "mark": " ".join(filter(None, [*marks, "chosen" if is_chosen else "", "differs" if changed else ""])),
            "value": block.name,
            "title": words.open.format(name=f"{block.name} {block.kind}".strip())
            + (f" {words.alike.format(count=count)}" if count > 1 else "")
            + (f" {words.differs}" if changed else ""),
        }
    )
    for place, text in enumerate([fitting(title, BOX - 8, NORMAL), *numbers, sees]):
        items.append(
            text_item(x + BOX / 2, y + 14 + 13 * place, text, size=NORMAL if place == 0 else SMALL, strong=place == 0, anchor="middle")
        )
    if changed:
        items.append(text_item(x + BOX - 4, y + 12, "≠", anchor="end", strong=True, mark="unequal"))
    if block.shortcut:
        kind = f"shortcut {block.shortcut}"
        items.append(path_item(f"M{x + BOX} {y + BOX_HEIGHT / 2}h{NODE}", "edge"))
        items.append(path_item(f"M{x - 14} {y + BOX_HEIGHT / 2}C{x - 14} {y - ARC - 4} {x + 4} {y - ARC + 2} {x + BOX / 2} {y - ARC + 2}S{x + BOX + 14} {y - ARC - 4} {x + BOX + 14} {y + BOX_HEIGHT / 2 - 6}", kind))  # fmt: skip
        items.append({"kind": "node", "x": x + BOX + NODE, "y": y + BOX_HEIGHT / 2, "r": 6.5, "mark": "add"})
    return items


def _span(block: Block, last: Block) -> str:
    one, other = block.receptive_field, last.receptive_field
    return str(one) if one == other else f"{one}–{other}"


def _own_name(block: Block, part: Part) -> str:
    """What is no block of a stage is called by its module's name; a piece of a longer list by its first and last layer."""
    if part.role == "stage" and block.kind:
        return ""
    first, last = (name.rpartition(".")[2].replace("@", "") for name in (block.name, block.steps[-1]))
    return f"{first}–{last}" if first.isdigit() and last.isdigit() and first != last else first or block.name


def _edge(x: float, y: float, length: float, label: str) -> list[Item]:
    return [
        path_item(f"M{x} {y}h{length}", "edge", arrow=True),
        text_item(x + length / 2 + 2, y + 12, label, size=SMALL - 1, anchor="middle", faint=True),
    ]


def _turn(leaves: tuple[float, float], x: float, y: float, label: str) -> list[Item]:
    """From the end of one row around to the beginning of the next; the shape on the way."""
    before = x - INTO + 4
    if leaves[1] <= 2:  # the image
        return [path_item(f"M{before} {leaves[1]}V{y}H{x}", "edge", arrow=True)]
    around, middle = leaves[0] + 12, y - BOX_HEIGHT / 2 - ARC - BETWEEN / 2 + 5
    return [
        path_item(f"M{leaves[0]} {leaves[1]}H{around}V{middle}H{before}V{y}H{x}", "edge", arrow=True),
        text_item(before + 6, middle - 4, label, size=SMALL - 1, faint=True),
    ]


# -- primitives ----------------------------------------------------------------------------------------------------------------------------


def text_item(
    x: float, y: float, text: str, *, size: float = NORMAL, strong: bool = False, faint: bool = False, anchor: str = "start", mark: str = ""
) -> Item:
    marks = " ".join(filter(None, ["strong" if strong else "", "faint" if faint else "", mark]))
    return {"kind": "text", "x": x, "y": y, "text": text, "size": size, "anchor": anchor, "mark": marks}


def path_item(d: str, mark: str, *, arrow: bool = False) -> Item:
    return {"kind": "path", "d": d, "mark": mark, "arrow": arrow}


def text_width(text: str, size: float = SMALL) -> float:
    """About: a CJK letter is as wide as it is high."""
    return sum(1.0 if ord(letter) > 0x2E80 else 0.55 for letter in text) * size


def fitting(text: str, room: float, size: float = SMALL) -> str:
    """Cut in the middle, so that the end of a long name stays."""
    if text_width(text, size) <= room:
        return text
    keep = max(4, int(room / (0.55 * size)) - 1)
    return f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
