"""Networks without residual blocks: what can be shown of any of them is what its layers make of an image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_core.inspection.recording import hooked, untouched


@dataclass(frozen=True, kw_only=True)
class LayerMaps:
    """The activations (C, H, W) of one layer for one image; `kind` is the class of the module."""

    name: str
    kind: str
    activations: NDArray[np.float32]


def shown_layers(model: nn.Module) -> Mapping[str, nn.Module]:
    """Convolutions, and the blocks of transformers, which keep their tokens in rows."""
    modules = dict(model.named_modules())
    return {name: module for name, module in modules.items() if isinstance(module, nn.Conv2d) or _is_token_block(name, modules)}


def _is_token_block(name: str, modules: Mapping[str, nn.Module]) -> bool:
    """A member of a row of modules that normalises each token and holds no convolution."""
    inside = list(modules[name].modules())
    if not isinstance(modules.get(name.rpartition(".")[0]), nn.Sequential | nn.ModuleList) or len(inside) < 3 or not name:
        return False
    if isinstance(modules[name], nn.Sequential | nn.ModuleList):
        return False
    return any(isinstance(m, nn.LayerNorm) for m in inside) and not any(isinstance(m, nn.Conv2d) for m in inside)


@torch.inference_mode()
def layer_maps(model: nn.Module, image: Tensor) -> tuple[LayerMaps, ...]:
    """Activations of every shown layer for one normalised image (1, C, H, W), in the order of the forward pass; eval mode, and the model
    is left as found."""
    layers = shown_layers(model)
    seen: dict[str, NDArray[np.float32]] = {}

    def see(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        maps = _as_maps(output, is_map=isinstance(layers[name], nn.Conv2d))
        if maps is not None:
            seen.pop(name, None)  # one that runs twice stands where it ran last
            seen[name] = maps.float().cpu().numpy().copy()

    with untouched(model), hooked(layers, see):
        model(image.to(next(model.parameters()).device))
    return tuple(LayerMaps(name=name, kind=type(layers[name]).__name__, activations=maps) for name, maps in seen.items())


def _as_maps(output: object, *, is_map: bool) -> Tensor | None:
    """(C, H, W) of a batch of one: maps as they are, tokens laid out as the patches they came from. None for what is neither."""
    if not isinstance(output, Tensor):
        return None
    if output.ndim == 4:
        return output[0] if is_map else output[0].permute(2, 0, 1)
    if output.ndim != 3:
        return None
    tokens = output[0]  # (T, C), perhaps with a class token in front
    side = math.isqrt(len(tokens))
    if side * side != len(tokens):
        tokens, side = tokens[1:], math.isqrt(len(tokens) - 1)
    return tokens.T.reshape(-1, side, side) if side * side == len(tokens) else None
