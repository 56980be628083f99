"""Weights from a seed: every parameter draws from a stream of its own, keyed by the seed and its name.

So a ResNet and its plain twin start from the same weights, whatever else either of them has.
"""

import hashlib

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.models.blocks import ResidualBlock


def stream(seed: int, name: str) -> torch.Generator:
    """A generator for this seed and this name. Both are hashed into 32 bits: torch's generator on the CPU ignores higher ones."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


@torch.no_grad()
def initialize(model: nn.Module, seed: int, *, init: str = "he", zero_init_residual: bool = False) -> None:
    """He et al. 2015 (fan out, gain of ReLU) or Dirac for convolutions, torch's uniform for linear layers, 1 and 0 for norms."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            if init == "dirac":
                nn.init.dirac_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=stream(seed, f"{name}.weight"))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=stream(seed, f"{name}.weight"))
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=stream(seed, f"{name}.bias"))
        elif isinstance(module, _BatchNorm | nn.GroupNorm) and module.affine:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    if zero_init_residual:
        for block in (m for m in model.modules() if isinstance(m, ResidualBlock) and m.shortcut is not None):
            zero_last_layer(block)  # without a shortcut nothing at all would pass


def zero_last_layer(block: ResidualBlock) -> None:
    """Make F(x) = 0: gamma of the branch's last norm (v1), or the last convolution's weights (v2, or no norm)."""
    last = [m for m in block.residual if isinstance(m, _BatchNorm | nn.GroupNorm | nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
