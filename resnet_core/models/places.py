"""Where the blocks of a network are, and what people call them."""

import re
from collections import Counter
from dataclasses import dataclass

from torch import nn

from resnet_core.errors import UserError
from resnet_core.models.blocks import ResidualBlock

OURS = re.compile(r"stages\.\d+\.\d+")  # a block of ours by its name, also where some before it are removed
HEAD_NAMES = ("head", "fc", "classifier", "heads")


@dataclass(frozen=True, kw_only=True)
class BlockPlace:
    """A block by its path in the network (`stages.1.0`) and by its place for people, both counted from 1."""

    name: str
    stage: int
    block: int
    module: ResidualBlock


def block_places(model: nn.Module) -> tuple[BlockPlace, ...]:
    """All residual blocks (and their plain twins) in the order of the forward pass; empty for networks without any.

    In a network of ours their names tell their places; elsewhere blocks with the same parent are a stage.
    """
    found: list[BlockPlace] = []
    stages: dict[str, int] = {}  # parent -> its number
    inside: Counter[str] = Counter()
    for name, module in model.named_modules():
        if isinstance(module, ResidualBlock):
            parent = name.rpartition(".")[0]
            inside[parent] += 1
            stage, block = stages.setdefault(parent, len(stages) + 1), inside[parent]
            if OURS.fullmatch(name):
                stage, block = place_of(name)
            found.append(BlockPlace(name=name, stage=stage, block=block, module=module))
    return tuple(found)


def place_of(name: str) -> tuple[int, int]:
    """(stage, block) counted from 1: `stages.1.0` is stage 2, block 1."""
    _, stage, block = name.split(".")
    return int(stage) + 1, int(block) + 1


def find_block(model: nn.Module, name: str, *, model_name: str = "this network") -> BlockPlace:
    places = block_places(model)
    if not places:
        raise UserError("no_blocks", name=model_name)
    for place in places:
        if place.name == name:
            return place
    raise UserError("unknown_block", name=model_name, value=name, choices=", ".join(p.name for p in places))


def part_of(name: str) -> str:
    """The part of the network a parameter belongs to: `stem`, `stages.0`, ..., `head`."""
    pieces = name.split(".")
    return ".".join(pieces[:2]) if pieces[0] == "stages" else pieces[0]


def head_name(model: nn.Module) -> str:
    """The child that turns features into logits; the last one where no name says it."""
    children = [name for name, _ in model.named_children()]
    return next((name for name in HEAD_NAMES if name in children), children[-1])


def name_of(model: nn.Module) -> str:
    """What people call the network: its name in the table, where it was built from there."""
    return str(getattr(model, "network_name", type(model).__name__))
