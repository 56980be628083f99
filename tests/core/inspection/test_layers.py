"""Layers of any network: the maps are what plain hooks see, and nothing of looking stays."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import load_spec
from resnet_core.inspection.layers import layer_maps
from resnet_core.models import build_model

SPEC = load_spec(DataConfig())


@pytest.mark.parametrize(("name", "count", "last"), [("lenet5", 2, (16, 10, 10)), ("alexnet", 5, (256, 6, 6)), ("resnet8", 7, (64, 7, 7))])
def test_they_are_what_a_hook_sees(name: str, count: int, last: tuple[int, ...]) -> None:
    model = build_model(ModelConfig(model=name), SPEC, seed=0).eval()
    image = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    seen: dict[str, Tensor] = {}
    convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    handles = [m.register_forward_hook(lambda _, __, out, n=n: seen.__setitem__(n, out.detach()[0])) for n, m in convolutions.items()]  # type: ignore[misc]
    with torch.no_grad():
        model(image)
    for handle in handles:
        handle.remove()
    found = layer_maps(model.train(), image)
    assert [layer.name for layer in found] == list(seen)
    assert len(found) == count
    for layer in found:
        assert np.array_equal(layer.activations, seen[layer.name].numpy())
    assert found[-1].activations.shape == last
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


class Tokens(nn.Module):
    """A transformer's bones: patches as tokens, a class token in front, blocks in a row that add a number to every token."""

    def __init__(self, *, class_token: bool) -> None:
        super().__init__()
        self.class_token = class_token
        self.patches = nn.Conv2d(1, 3, 4, 4)
        self.blocks = nn.ModuleList([Block() for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)  # (1, 9, 3)
        if self.class_token:
            tokens = torch.cat([torch.full((1, 1, 3), 99.0), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.mean(1)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(3), nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + 1


@pytest.mark.parametrize("class_token", [True, False])
def test_tokens_stand_where_their_patches_came_from(class_token: bool) -> None:
    model: Any = Tokens(class_token=class_token).eval()
    image = torch.randn(1, 1, 12, 12)
    patches, first, second = layer_maps(model, image)
    assert [layer.name for layer in (patches, first, second)] == ["patches", "blocks.0", "blocks.1"]
    assert second.activations.shape == (3, 3, 3)
    assert np.allclose(first.activations, patches.activations + 1, atol=1e-6)
    assert np.allclose(second.activations, patches.activations + 2, atol=1e-6)
