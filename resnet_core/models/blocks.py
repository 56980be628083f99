"""The residual block with the add as a place of its own (He et al. 2015, arXiv:1512.03385; v2: He et al. 2016, arXiv:1603.05027).

Every tensor that matters is the output of a module with a name: `residual` gives F, `shortcut` gives s, `add` gives z = F + s,
the block itself gives y. Each path starts from its own view of x, so that the gradients the two paths hand back to x stay apart.
No ReLU is used twice or in place: DeepLift, guided backprop and recordings need both.
"""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

Norm = Callable[[int], nn.Module]


class Add(nn.Module):
    """z = F + s."""

    def forward(self, residual: Tensor, shortcut: Tensor) -> Tensor:
        return residual + shortcut


class ZeroPadding(nn.Module):
    """Shortcut option A: every `stride`-th pixel, missing channels as zeros on both sides. No parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        extra = max(out_channels - in_channels, 0)
        self.padding = (0, 0, 0, 0, extra // 2, extra - extra // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, :: self.stride, :: self.stride], self.padding)

    def extra_repr(self) -> str:
        return f"stride={self.stride}, channels_before={self.padding[4]}, channels_after={self.padding[5]}"


class Scale(nn.Module):
    """The last layer of a residual branch whose F is made smaller or larger."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class ResidualBlock(nn.Module):
    """v1: y = relu(residual(x) + shortcut(x)); v2: y = residual(x) + shortcut(x). A plain twin has no shortcut and no add.

    `preact` is shared by both paths in v2 blocks with a projection, and the identity elsewhere: the paths part behind it.
    """

    def __init__(
        self,
        residual: nn.Sequential,
        shortcut: nn.Module | None,
        *,
        preact: nn.Module | None = None,
        final_relu: bool = True,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.preact = preact or nn.Identity()
        self.residual = residual
        self.drop = stochastic_depth(drop) if drop else nn.Identity()
        self.shortcut = shortcut
        self.add = Add() if shortcut is not None else None
        self.relu = nn.ReLU() if final_relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', H', W')
        x = self.preact(x)
        if self.shortcut is None or self.add is None:
            return self.relu(self.residual(x))  # type: ignore[no-any-return]
        residual = self.drop(self.residual(x.view_as(x)))
        return self.relu(self.add(residual, self.shortcut(x.view_as(x))))  # type: ignore[no-any-return]


def stochastic_depth(probability: float) -> nn.Module:
    """Huang et al. 2016, an image at a time."""
    from torchvision.ops import StochasticDepth  # here: torchvision costs a second and 170 MB, and few networks need it

    return StochasticDepth(probability, mode="row")  # type: ignore[no-any-return]


def convolution(in_channels: int, out_channels: int, size: int, stride: int = 1, *, bias: bool = False, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=bias, groups=groups)


def projection(in_channels: int, out_channels: int, stride: int, norm: Norm, *, normalised: bool, bias: bool) -> nn.Module:
    """Shortcut options B and C: a 1x1 convolution, followed by a norm in v1 only (in v2 the input is normalised already)."""
    conv = convolution(in_channels, out_channels, 1, stride, bias=bias)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm(out_channels))) if normalised else nn.Sequential(OrderedDict(conv=conv))


def residual_branch(
    sizes: tuple[tuple[int, int, int, int], ...], norm: Norm, *, version: str, leading: bool, bias: bool, groups: int = 1
) -> nn.Sequential:
    """The layers of F for convolutions given as (in, out, kernel, stride); `groups` are those of the 3x3 ones (Xie et al. 2016).

    v1: conv norm relu ... conv norm. v2: [norm relu] conv norm relu ... conv, the first pair only when `leading`.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (in_channels, out_channels, kernel, stride) in enumerate(sizes, start=1):
        if version == "v2" and (number > 1 or leading):
            layers[f"norm{number}"], layers[f"relu{number}"] = norm(in_channels), nn.ReLU()
        layers[f"conv{number}"] = convolution(in_channels, out_channels, kernel, stride, bias=bias, groups=groups if kernel > 1 else 1)
        if version == "v1":
            layers[f"norm{number}"] = norm(out_channels)
            if number < len(sizes):
                layers[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(layers)


def make_norm(kind: str) -> Norm:
    """BatchNorm, GroupNorm with up to 32 groups (Wu and He 2018), or nothing."""
    if kind == "batch":
        return nn.BatchNorm2d
    if kind == "group":
        return lambda channels: nn.GroupNorm(next(g for g in (32, 16, 8, 4, 2, 1) if channels % g == 0), channels)
    return lambda channels: nn.Identity()
