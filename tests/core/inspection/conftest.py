"""Small networks whose norms look trained, images for them, and what "left as found" means."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models import ResNet, build_model

SPEC = DataSpec(name="test", channels=1, height=12, width=12, classes=tuple("0123"), mean=(0.4,), std=(0.3,))
Build = Callable[..., ResNet]


@pytest.fixture
def build() -> Build:
    """build("resnet8", option="B", ...): a network of half the width in eval mode, with weights in its norms as after a training."""

    def make(name: str = "resnet8", *, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> ResNet:
        model = build_model(ModelConfig(**{"model": name, "width": 0.5, **changes}), SPEC, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    for tensor in (module.weight, module.running_var):
                        tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
                    for tensor in (module.bias, module.running_mean):
                        tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
        assert isinstance(model, ResNet)
        return model.to(dtype).eval()

    return make


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 1, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 1, 2, 3, 0, 1])


def count_hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    own = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    return own + sum(len(p._backward_hooks or {}) for p in model.parameters())


class Witness:
    """Remembers a model whose modules have mixed modes and whose parameters have gradients; `check` finds every difference."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        for number, module in enumerate(model.modules()):
            module.training = number % 3 == 0
        for number, parameter in enumerate(model.parameters()):
            parameter.requires_grad_(number % 4 != 0)
            parameter.grad = None if number % 5 == 0 else torch.full_like(parameter, number)
        self.state = copy.deepcopy(model.state_dict())
        self.tensors = [id(t) for t in (*model.parameters(), *model.buffers())]
        self.modules = {name: (id(module), module.training) for name, module in model.named_modules()}
        self.gradients = [(p.requires_grad, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
        self.hooks = count_hooks(model)

    def check(self) -> None:
        model = self.model
        assert count_hooks(model) == self.hooks
        assert {name: (id(module), module.training) for name, module in model.named_modules()} == self.modules
        assert [id(t) for t in (*model.parameters(), *model.buffers())] == self.tensors
        state = model.state_dict()
        assert list(state) == list(self.state)
        assert all(torch.equal(state[name], tensor) for name, tensor in self.state.items())
        for parameter, (needs, grad, values) in zip(model.parameters(), self.gradients, strict=True):
            assert parameter.requires_grad is needs
            assert parameter.grad is grad
            assert grad is None or torch.equal(grad, values)


@pytest.fixture
def witness() -> Iterator[Callable[[nn.Module], Witness]]:
    """witness(model) looks at the model now; at the end of the test it must still be the same."""
    all_of_them: list[Witness] = []

    def look(model: nn.Module) -> Witness:
        all_of_them.append(Witness(model))
        return all_of_them[-1]

    yield look
    assert all_of_them
    for one in all_of_them:
        one.check()
