"""What one residual block costs by itself: its kind, its width, and each way to bring x to the shape of F(x)."""

from dataclasses import dataclass

import torch
from torch import nn

from resnet_core.models.blocks import ResidualBlock, ZeroPadding, make_norm, projection, residual_branch
from resnet_core.models.resnet import BOTTLENECK_EXPANSION
from resnet_core.models.tracing import trace

BASIC, BOTTLENECK = "BasicBlock", "Bottleneck"


@dataclass(frozen=True, kw_only=True)
class BlockCost:
    """Of one block; `shortcut_parameters` are those that its shortcut adds."""

    parameters: int
    macs: int
    shortcut_parameters: int


def block_cost(kind: str, channels: int, side: int, *, option: str = "A", widens: bool = False) -> BlockCost:
    """A block that gives `channels` channels on maps of `side` px; with `widens` it takes half as many, twice as large, at stride 2.

    A Bottleneck's inner width is a quarter of what it gives (He et al. 2015, figure 5).
    """
    taken, stride = (max(channels // 2, 1), 2) if widens else (channels, 1)
    with torch.device("meta"):
        block = _block(kind, taken, channels, stride, option)
        steps = trace(block, (taken, side * stride, side * stride))
    own = sum(p.numel() for p in block.shortcut.parameters()) if block.shortcut is not None else 0
    return BlockCost(parameters=sum(p.numel() for p in block.parameters()), macs=sum(step.macs for step in steps), shortcut_parameters=own)


def _block(kind: str, taken: int, given: int, stride: int, option: str) -> ResidualBlock:
    norm = make_norm("batch")
    inner = max(given // BOTTLENECK_EXPANSION, 1)
    sizes: tuple[tuple[int, int, int, int], ...] = ((taken, given, 3, stride), (given, given, 3, 1))
    if kind == BOTTLENECK:
        sizes = ((taken, inner, 1, 1), (inner, inner, 3, stride), (inner, given, 1, 1))
    residual = residual_branch(sizes, norm, version="v1", leading=True, bias=False)
    changes = taken != given or stride != 1
    shortcut: nn.Module = ZeroPadding(taken, given, stride) if changes else nn.Identity()
    if option == "C" or (option == "B" and changes):
        shortcut = projection(taken, given, stride, norm, normalised=True, bias=False)
    return ResidualBlock(residual, shortcut)
