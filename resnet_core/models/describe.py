"""A network as a table: shapes, parameters and multiply-accumulates of every layer, without allocating a weight."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models.catalog import build_model


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer; shapes are (channels, height, width) or (features,), MACs for one image."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """`flops` counts a multiply-accumulate as two operations, as torch.utils.flop_counter does."""

    model: str
    parameters: int
    macs: int
    flops: int
    layers: tuple[LayerRow, ...]


def describe(config: ModelConfig, spec: DataSpec) -> ModelDescription:
    model = build_model(config, spec, seed=None, device="meta").eval()
    layers = describe_layers(model, (spec.channels, spec.height, spec.width))
    macs = sum(row.macs for row in layers)
    parameters = sum(p.numel() for p in model.parameters())
    return ModelDescription(model=config.model, parameters=parameters, macs=macs, flops=2 * macs, layers=layers)


def count_parameters(config: ModelConfig, spec: DataSpec) -> int:
    """Without running the network: a forward pass on `meta` imports torch's compiler, which costs a page 150 MB and two seconds."""
    return sum(p.numel() for p in build_model(config, spec, seed=None, device="meta").parameters())


def describe_layers(model: nn.Module, input_shape: tuple[int, ...]) -> tuple[LayerRow, ...]:
    """Rows in the order of the forward pass, one for each leaf module that ran."""
    rows: list[LayerRow] = []
    handles = []
    for name, module in model.named_modules():
        if not any(module.children()) and not isinstance(module, nn.Identity):
            handles.append(module.register_forward_hook(_recorder(name, rows)))
    try:
        with torch.no_grad():
            model(torch.empty(1, *input_shape, device=next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(rows)


def _recorder(name: str, rows: list[LayerRow]) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        rows.append(
            LayerRow(
                name=name,
                kind=type(module).__name__,
                output_shape=tuple(output.shape[1:]),
                parameters=sum(p.numel() for p in module.parameters(recurse=False)),
                macs=_macs(module, output),
            )
        )

    return hook


def _macs(module: nn.Module, output: Tensor) -> int:
    """Multiply-accumulates of convolutions and linear layers; everything else counts 0, as in He et al. 2015."""
    if isinstance(module, nn.Conv2d):
        return output[0].numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output[0].numel() * module.in_features
    return 0
