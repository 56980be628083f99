"""What a network is made of, as far as methods care: found by one look at one forward pass, so it holds for networks of any origin."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resnet_core.attribution.borrowing import borrowed
from resnet_core.data.spec import DataSpec
from resnet_core.models import block_places

ACTIVATIONS = (
    nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Hardswish,
    nn.Hardsigmoid, nn.Hardtanh, nn.Softmax,
)  # fmt: skip
# Non-linear layers with a rule of Captum's DeepLift that holds; the one for max pooling holds for constant baselines only.
RULED = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus)
AFFINE = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.ZeroPad2d)
AFFINE_NAMES = {"Add", "Scale", "ZeroPadding", "StochasticDepth", "Concatenate"}  # modules without parameters that are affine in eval mode
AFFINE_FUNCTIONS = {
    "add", "sub", "cat", "stack", "flatten", "view", "view_as", "reshape", "pad", "mean", "sum", "adaptive_avg_pool2d", "avg_pool2d", "permute",
    "transpose", "chunk", "split", "unsqueeze", "squeeze", "contiguous", "dropout", "getitem", "get", "size", "dim", "clone", "detach", "expand",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Traits:
    """`stages`: places whose output still has places (B, C, H, W), one per resolution, in order. `blocks`: residual blocks and plain twins.

    `relus`: ReLU modules that ran. The others name what a method cannot do with: ReLUs that run twice, activations of another kind
    or without a module, layers without a sound DeepLift rule.
    """

    blocks: tuple[str, ...]
    stages: tuple[str, ...]
    relus: int
    reused: tuple[str, ...]
    activations: tuple[str, ...]
    unruled: tuple[str, ...]


@dataclass
class _Seen:
    """What one forward pass shows."""

    inside: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)
    maps: dict[tuple[int, int], str] = field(default_factory=dict)


class _Functions(TorchFunctionMode):
    """Notes what is called outside of modules without children."""

    def __init__(self, seen: _Seen) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Mapping[str, Any] | None = None) -> Any:
        if not self.seen.inside:
            self.seen.functions.add(function.__name__.strip("_").removeprefix("r" if function.__name__.startswith("__r") else ""))
        return function(*arguments, **(options or {}))


@torch.no_grad()
def traits_of(model: nn.Module, spec: DataSpec) -> Traits:
    """Of a network in eval mode, which is left as found: one forward pass of a black image through a copy."""
    model = borrowed(model)
    leaves = {name: module for name, module in model.named_modules() if not any(True for _ in module.children())}
    seen = _Seen()
    device = next(model.parameters()).device
    image = torch.zeros(1, spec.channels, spec.height, spec.width, device=device)
    with _watched(leaves, seen), _Functions(seen):
        model(image)
    ran = {name: leaves[name] for name in seen.calls}
    relus = {name: module for name, module in ran.items() if isinstance(module, nn.ReLU)}
    kinds = {type(module).__name__: module for module in ran.values()}
    outside = sorted(name for name in seen.functions if name not in AFFINE_FUNCTIONS)
    return Traits(
        blocks=tuple(place.name for place in block_places(model)),
        stages=_stages(model, seen),
        relus=len(relus),
        reused=tuple(name for name in relus if seen.calls[name] > 1),
        activations=tuple(
            [kind for kind, module in kinds.items() if isinstance(module, ACTIVATIONS)] + [f for f in outside if _activates(f)]
        ),
        unruled=tuple([kind for kind, module in kinds.items() if not _ruled(module)] + outside),
    )


def _activates(function: str) -> bool:
    return function.rstrip("_") in {
        "relu",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "softmax",
        "elu",
        "hardswish",
        "scaled_dot_product_attention",
    }


def _ruled(module: nn.Module) -> bool:
    return type(module) in RULED or type(module) in AFFINE or type(module).__name__ in AFFINE_NAMES


def _stages(model: nn.Module, seen: _Seen) -> tuple[str, ...]:
    """What the table of networks says of those that it built; of others the last layer at each resolution."""
    told = getattr(model, "gradcam_layers", None)
    return tuple(seen.maps.values()) if told is None else tuple(told)


@contextlib.contextmanager
def _watched(leaves: Mapping[str, nn.Module], seen: _Seen) -> Iterator[None]:
    handles = []
    try:
        for name, module in leaves.items():
            handles.append(module.register_forward_pre_hook(_enter(seen)))
            handles.append(module.register_forward_hook(_leave(name, seen), always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enter(seen: _Seen) -> Callable[..., None]:
    def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.inside += 1

    return enter


def _leave(name: str, seen: _Seen) -> Callable[..., None]:
    def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        seen.inside -= 1
        seen.calls[name] = seen.calls.get(name, 0) + 1
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[-2:]) > 1:
            seen.maps[(output.shape[-2], output.shape[-1])] = name

    return leave
