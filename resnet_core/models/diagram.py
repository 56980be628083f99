"""A network as people draw it: stem, stages of blocks, head; found in the network itself, ours or any other.

A block is a module that adds or concatenates two paths (and every module of such a class); where a network has none, each module that
holds layers is one. Blocks under one parent with one resolution are a stage. What runs before the first stage is the stem, what runs
behind the last the head. Building blocks are written as in He et al. 2015, table 1: [3×3, 64; 3×3, 64] × 2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import nn

from resnet_core.models.blocks import ResidualBlock
from resnet_core.models.tracing import INPUT, MARK, Step

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
JOINS = ("add", "cat", "Add")
STEM, STAGE, HEAD, PART = "stem", "stage", "head", "part"


@dataclass(frozen=True, kw_only=True)
class Block:
    """Steps that belong together. `lines` is the building block in the notation of the paper, without its shortcut.

    `shortcut` is "identity", "projection", "padding" (no parameters, another shape), or None where nothing is added; `aside` are the
    steps that only the shortcut has. `name` is the module's path; of layers that no module holds, the first one's.
    """

    name: str
    kind: str
    number: int
    steps: tuple[str, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: int | None
    lines: tuple[str, ...]
    shortcut: str | None
    aside: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """`role` is "stem", "stage", "head", or "part" in networks without blocks; stages count from 1."""

    name: str
    role: str
    number: int
    blocks: tuple[Block, ...]
    output_shape: tuple[int, ...]
    parameters: int
    macs: int

    @property
    def notation(self) -> str:
        """[3×3, 64; 3×3, 64] × 2"""
        runs = [(lines, len(list(group))) for lines, group in groupby(block.lines for block in self.blocks) if lines]
        if self.role in (STEM, HEAD) or all(count == 1 and len(lines) == 1 for lines, count in runs):
            return ", ".join(line for lines, count in runs for line in lines * count)
        return ", ".join(f"[{'; '.join(lines)}] × {count}" for lines, count in runs)


def parts_of(model: nn.Module, steps: Sequence[Step], input_shape: tuple[int, ...]) -> tuple[Part, ...]:
    """`steps` as `tracing.trace` gives them, of this model on images of this shape."""
    joins, owners = _owners(model, steps)
    modules = dict(model.named_modules())
    runs: list[tuple[str, list[Step]]] = []
    for step in steps:
        owner = _nearest(step.module, owners)
        if not runs or runs[-1][0] != owner:
            runs.append((owner, []))
        runs[-1][1].append(step)
    pieces = [
        (owner, piece) for owner, run in runs for piece in ([run] if owner in joins or _is_custom(modules.get(owner)) else _split(run))
    ]
    staged = [owner in owners and _is_staged(modules[owner], joins, modules) for owner, _ in pieces]
    shapes = {INPUT: input_shape, **{step.name: step.output_shape for step in steps}}
    return tuple(
        _part(role, number, [_block(owner, piece, place, modules, shapes) for place, (owner, piece) in enumerate(group, start=1)])
        for role, number, group in _grouped(pieces, staged)
    )


# -- which modules are blocks ----------------------------------------------------------------------------------------------------------


def _owners(model: nn.Module, steps: Sequence[Step]) -> tuple[set[str], set[str]]:
    """Modules that join two paths themselves, and all that are drawn as one block (containers of layers alone among them)."""
    modules = dict(model.named_modules())
    ran = {prefix for step in steps for prefix in _prefixes(step.module)}
    own = {step.module if MARK in step.name else step.module.rpartition(".")[0] for step in steps if _is_join(step)}
    joins = {name for name in own if name and not isinstance(modules[name], CONTAINERS)}
    kinds = {type(modules[name]) for name in joins}
    found: set[str] = set()

    def visit(name: str, module: nn.Module) -> None:
        for child_name, child in module.named_children():
            full = f"{name}.{child_name}" if name else child_name
            if full not in ran or not any(True for _ in child.children()):
                continue
            if type(child) in kinds or not _holds_blocks(child):
                found.add(full)
            else:
                visit(full, child)

    visit("", model)
    return joins, found


def _is_join(step: Step) -> bool:
    return step.kind in JOINS and len(step.inputs) > 1


def _prefixes(path: str) -> Iterable[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]


def _holds_blocks(module: nn.Module) -> bool:
    """Whether modules with layers of their own lie in it: directly for a container, in a container of its own for another module."""
    if isinstance(module, CONTAINERS):
        return any(_has_parts(child) for child in module.children())
    return any(isinstance(child, CONTAINERS) and _holds_blocks(child) for child in module.children())


def _has_parts(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _is_custom(module: nn.Module | None) -> bool:
    return module is not None and not isinstance(module, CONTAINERS)


def _is_staged(module: nn.Module, joins: set[str], modules: dict[str, nn.Module]) -> bool:
    if joins:
        return type(module) in {type(modules[name]) for name in joins}
    return not isinstance(module, CONTAINERS)


def _nearest(path: str, owners: set[str]) -> str:
    """The block that a module lies in, else its parent."""
    return next((prefix for prefix in _prefixes(path) if prefix in owners), "")


def _split(run: list[Step]) -> list[list[Step]]:
    """Layers in a row, cut behind each pooling where there are several (VGG, AlexNet)."""
    if sum(_is_pooling(step) for step in run) < 2:
        return [run]
    pieces: list[list[Step]] = [[]]
    for step in run:
        pieces[-1].append(step)
        if _is_pooling(step):
            pieces.append([])
    return [piece for piece in pieces if piece]


def _is_pooling(step: Step) -> bool:
    return bool(step.kernel) and step.macs == 0


# -- stem, stages, head ----------------------------------------------------------------------------------------------------------------

Piece = tuple[str, list[Step]]


def _grouped(pieces: list[Piece], staged: list[bool]) -> Iterable[tuple[str, int, list[Piece]]]:
    if not any(staged):
        for number, (_, group) in enumerate(groupby(pieces, key=lambda piece: _top(piece[1][0])), start=1):
            yield PART, number, list(group)
        return
    first, behind = staged.index(True), len(staged) - staged[::-1].index(True)
    if first:
        yield STEM, 0, pieces[:first]
    stages: list[list[Piece]] = []
    between: list[Piece] = []  # a pooling or a transition: of the stage whose resolution it has
    key: Any = None
    for (owner, run), is_block in zip(pieces[first:behind], staged[first:behind], strict=True):
        if not is_block:
            between.append((owner, run))
            continue
        own = (owner.rpartition(".")[0], run[-1].output_shape[1:])
        if own != key:
            opens = [piece for piece in between if piece[1][-1].output_shape[1:] == own[1]]
            if stages:
                stages[-1] += [piece for piece in between if piece not in opens]
            stages.append(opens if stages else between)
            key = own
        else:
            stages[-1] += between
        stages[-1].append((owner, run))
        between = []
    yield from ((STAGE, number, stage) for number, stage in enumerate(stages, start=1))
    if pieces[behind:]:
        yield HEAD, 0, pieces[behind:]


def _top(step: Step) -> str:
    return step.name.split(".")[0].split(MARK)[0]


def _part(role: str, number: int, blocks: list[Block]) -> Part:
    first = blocks[0].name
    return Part(
        name={STAGE: first.rpartition(".")[0], PART: first.split(".")[0].split(MARK)[0]}.get(role, role),
        role=role,
        number=number,
        blocks=tuple(blocks),
        output_shape=blocks[-1].output_shape,
        parameters=sum(block.parameters for block in blocks),
        macs=sum(block.macs for block in blocks),
    )


def _block(owner: str, run: list[Step], number: int, modules: dict[str, nn.Module], shapes: dict[str, tuple[int, ...]]) -> Block:
    inside = {step.name for step in run}
    entry = next((name for step in run for name in step.inputs if name not in inside), INPUT)
    module = modules.get(owner) if owner else None
    whole = owner and len(run) == sum(1 for name in shapes if name == owner or name.startswith((f"{owner}.", f"{owner}{MARK}")))
    shortcut, aside = _shortcut(run)
    lines = tuple(line for step in run if step.name not in aside and (line := _line(step, run, with_stride=not _is_custom(module))))
    return Block(
        name=owner if whole else run[0].name,
        kind=_kind(module, lines),
        number=number,
        steps=tuple(step.name for step in run),
        input_shape=shapes[entry],
        output_shape=run[-1].output_shape,
        parameters=sum(step.parameters for step in run),
        macs=sum(step.macs for step in run),
        receptive_field=run[-1].receptive_field,
        lines=lines,
        shortcut=shortcut,
        aside=tuple(step.name for step in run if step.name in aside),
    )


def _kind(module: nn.Module | None, lines: tuple[str, ...]) -> str:
    if isinstance(module, ResidualBlock):
        return "Bottleneck" if len(lines) == 3 else "BasicBlock"
    return type(module).__name__ if _is_custom(module) else ""


def _shortcut(run: Sequence[Step]) -> tuple[str | None, set[str]]:
    """How the first add gets its second term, and the steps that only the shortcut has."""
    steps = {step.name: step for step in run}
    add = next((step for step in run if step.kind in ("add", "Add") and len(step.inputs) > 1), None)
    if add is None:
        return None, set()
    one, other = (_ancestors(name, steps) for name in add.inputs[:2])
    short = min(one - other, other - one, key=lambda names: (sum(steps[name].macs for name in names), len(names)))
    if not short:
        return "identity", set()
    return ("projection" if any(steps[name].macs for name in short) else "padding"), short


def _ancestors(name: str, steps: dict[str, Step]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in steps and current not in found:
            found.add(current)
            waiting += steps[current].inputs
    return found


# -- the paper's notation --------------------------------------------------------------------------------------------------------------


def _line(step: Step, run: Sequence[Step], *, with_stride: bool) -> str | None:
    """Of a layer with weights or a pooling; None for the others, and for convolutions on a pooled image (squeeze and excitation)."""
    channels = step.output_shape[0]
    stride = f", stride {step.stride[0]}" if step.stride and step.stride[0] > 1 and with_stride else ""
    if step.output_shape[1:] == (1, 1) and run[-1].output_shape[1:] not in ((1, 1), ()):
        return None
    if step.kernel and step.macs:
        grouped = f", C={step.groups}" if step.groups > 1 else ""
        if step.groups == channels > 1:
            return f"{_size(step)} depthwise, {channels}{stride}"
        return f"{_size(step)}, {channels}{grouped}{stride}"
    if step.kernel:
        return f"{_size(step)} {'max' if 'max' in step.kind.lower() else 'average'} pool{stride}"
    if step.kind in ("Linear", "linear", "NonDynamicallyQuantizableLinear"):
        return f"{step.output_shape[-1]}-d fc"
    if "pool" in step.kind.lower() or step.kind == "mean":
        return "average pool"
    if step.macs and step.parameters:
        return f"{'attention' if 'ttention' in step.kind else step.kind}, {step.output_shape[-1]}"
    return None


def _size(step: Step) -> str:
    return "×".join(str(k) for k in step.kernel)
