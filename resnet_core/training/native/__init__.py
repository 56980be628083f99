"""Kernels in C for a training step on a CPU, where the machine has a compiler: BatchNorm, add and ReLU in one way through memory, and the
gradient of 3x3 convolutions' weights in bfloat16.
"""

import functools

import torch
from torch import nn
from torch.nn import functional

from resnet_core.training.native.library import library
from resnet_core.training.native.rewriting import knows, with_kernels

__all__ = ["available", "knows", "with_kernels"]


@functools.cache
def available() -> bool:
    """Whether this machine has them, and they compute what PyTorch does: a compiler may err."""
    return library() is not None and all(_agrees(precision) for precision in (torch.float32, torch.bfloat16))


@torch.inference_mode(False)
@torch.enable_grad()
def _agrees(precision: torch.dtype) -> bool:
    """On a block of a network, up to what is rounded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = _Block().to(memory_format=torch.channels_last)
        x = torch.randn(4, 16, 5, 8).contiguous(memory_format=torch.channels_last)
        found = []
        for network in (with_kernels(block), block):
            with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
                y = network(x)
            found.append(torch.cat([g.flatten() for g in (y, *torch.autograd.grad(y.float().square().sum(), tuple(block.parameters())))]))
        ours, right = found
        return bool((ours - right).norm() < (0.05 if precision == torch.bfloat16 else 1e-3) * right.norm())


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.conv = nn.Conv2d(16, 16, 1, bias=False), nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm1, self.relu, self.norm2 = nn.BatchNorm2d(16), nn.ReLU(), nn.BatchNorm2d(16)
        for norm in (self.norm1, self.norm2):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm1(self.before(x)))
        return functional.relu(self.norm2(self.conv(x)) + x)
