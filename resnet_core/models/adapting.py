"""What turns a network made for 224 x 224 colour images into one for these data: single layers exchanged, names kept.

Names stay the library's, so its pretrained weights find their places. ReLUs stop working in place and functional ones become modules,
since recordings and attributions need every tensor as it was computed.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

LIKE_CONV = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")


def exchange(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where the layer `name` (`features.0`) is."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def change_conv(model: nn.Module, name: str, **changes: Any) -> None:
    """The convolution `name` with other channels, kernel or stride, freshly drawn; the rest as it was."""
    old = model.get_submodule(name)
    if not isinstance(old, nn.Conv2d):
        raise TypeError(f"{name} is a {type(old).__name__}")
    settings: dict[str, Any] = {"in_channels": old.in_channels, "bias": old.bias is not None}
    settings |= {key: getattr(old, key) for key in LIKE_CONV}
    exchange(model, name, nn.Conv2d(**settings | changes))


def leave_out(model: nn.Module, *names: str) -> None:
    """Poolings that a small image cannot afford."""
    for name in names:
        exchange(model, name, nn.Identity())


def modules_for_relus(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """`BasicConv2d` (conv, bn, then a functional ReLU in place) as a Sequential with the same names and a ReLU that has one."""
    for name, module in list(model.named_modules()):
        if isinstance(module, kinds):
            conv, bn = module.get_submodule("conv"), module.get_submodule("bn")
            exchange(model, name, nn.Sequential(OrderedDict(conv=conv, bn=bn, relu=nn.ReLU())))


def nothing_in_place(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return model


def without_memory(build: Any) -> Any:
    """Build on the meta device what is about to be replaced, such as the 124 million weights of VGG's head."""
    with torch.device("meta"):
        return build()
