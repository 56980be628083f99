"""What tests of networks share: data without pixels, and norms as after some training."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.data import DataSpec


def spec(channels: int, size: int, classes: int) -> DataSpec:
    names = tuple(str(i) for i in range(classes))
    return DataSpec(name="test", channels=channels, height=size, width=size, classes=names, mean=(0.5,) * channels, std=(0.25,) * channels)


def shake(model: nn.Module, seed: int = 0) -> None:
    """Norms as after some training: nothing is left at 0 or 1, where a swapped pair would go unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.5)
