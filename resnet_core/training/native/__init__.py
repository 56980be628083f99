"""Kernels in C for a training step on a CPU, where the machine has a compiler: BatchNorm, add and ReLU at once, and the
gradient of 3x3 convolutions' weights in bfloat16.
"""

import functools

import torch
from torch import nn
from torch.nn import functional

from resnet_core.training.native.library import library
from resnet_core.training.native.rewriting import knows, with_kernels

__all__ = ["available", "knows", "with_kernels"]


NEAR = {torch.float32: 1e-3, torch.bfloat16: 0.2}  # of a tensor's size; bfloat16 rounds some numbers to the other side of a ReLU's kink


@functools.cache
def available() -> bool:
    """Whether this machine has them, and they compute what PyTorch does: a compiler may err."""
    return library() is not None and all(_agrees(precision) for precision in NEAR)


@torch.inference_mode(False)
@torch.enable_grad()
def _agrees(precision: torch.dtype) -> bool:
    """On a small network, each of its gradients and statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = _Small().float().to(memory_format=torch.channels_last)
        x = torch.randn(8, 16, 5, 8, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
    found = []
    for called in (with_kernels(network), network):
        kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            y = called(x)
        gradients = torch.autograd.grad(y.float().square().sum(), tuple(network.parameters()))
        found.append([y.detach().float(), *gradients, *(tensor.float().clone() for tensor in network.buffers())])
        network.load_state_dict(kept)
    return all(bool((ours - right).norm() <= NEAR[precision] * right.norm()) for ours, right in zip(*found, strict=True))


class _Small(nn.Module):
    """A residual block whose output has two users, and a convolution with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.conv, self.after = (
            nn.Conv2d(16, 16, 1, bias=False, device="cpu"),
            nn.Conv2d(16, 16, 3, padding=1, bias=False, device="cpu"),
            nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False, device="cpu"),
        )
        self.norm1, self.relu, self.norm2 = nn.BatchNorm2d(16, device="cpu"), nn.ReLU(), nn.BatchNorm2d(16, device="cpu")
        for norm in (self.norm1, self.norm2):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm1(self.before(x)))
        y = functional.relu(self.norm2(self.conv(x)) + x)
        return torch.cat([self.after(y).flatten(1), y.flatten(1)], dim=1)
