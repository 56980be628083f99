"""ResNets and their plain twins: 6n+2 networks for small images (He et al. 2015, section 4.2) and the ImageNet family (table 1).

One implementation: BasicBlock or Bottleneck, v1 or v2, shortcut option A, B or C, small or ImageNet stem. The plain twin is the same
network with the shortcuts left out; with option A both have the same parameters under the same names.
"""

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.models.blocks import Norm, ResidualBlock, Scale, ZeroPadding, convolution, make_norm, projection, residual_branch

BOTTLENECK_EXPANSION = 4


@dataclass(frozen=True, kw_only=True)
class ResNetPlan:
    """What is decided before any tensor exists. `widths` are the 3x3 channels of each stage, before `inner` multiplies them.

    `groups` and `inner` change the inside of a Bottleneck only: ResNeXt (Xie et al. 2016) and Wide ResNet (Zagoruyko and Komodakis 2016).
    """

    stage_blocks: tuple[int, ...]
    widths: tuple[int, ...]
    in_channels: int
    classes: int
    bottleneck: bool = False
    plain: bool = False
    option: str = "A"
    version: str = "v1"
    norm: str = "batch"
    imagenet_stem: bool = False
    stride_in_1x1: bool = False
    stochastic_depth: float = 0.0
    groups: int = 1
    inner: int = 1
    removed: tuple[str, ...] = ()
    residual_scale: float = 1.0

    @property
    def expansion(self) -> int:
        return BOTTLENECK_EXPANSION if self.bottleneck else 1


class ResNet(nn.Module):
    """`stem`, `stages` (each a Sequential of ResidualBlock) and `head`: images (B, C, H, W) -> logits (B, K)."""

    def __init__(self, plan: ResNetPlan) -> None:
        super().__init__()
        require_removable(plan)
        self.plan = plan
        norm = make_norm(plan.norm)
        self.stem = _stem(plan, norm)
        self.stages = nn.ModuleList()
        channels, position = plan.widths[0], 0
        for stage, (count, width) in enumerate(zip(plan.stage_blocks, plan.widths, strict=True)):
            blocks: OrderedDict[str, nn.Module] = OrderedDict()
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                drop = plan.stochastic_depth * (position + 1) / sum(plan.stage_blocks)
                if f"stages.{stage}.{index}" not in plan.removed:  # the others keep their names, and with them their weights
                    blocks[str(index)] = _block(plan, norm, channels, width, stride, drop)
                channels, position = width * plan.expansion, position + 1
            self.stages.append(nn.Sequential(blocks))
        self.head = _head(plan, norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, widths[0], H', W')
        for stage in self.stages:
            x = stage(x)
        return self.head(x)  # type: ignore[no-any-return]


def removable_blocks(plan: ResNetPlan) -> tuple[str, ...]:
    """Blocks that can be left out, since what follows takes what they take: their shortcut is the identity (in a plain twin: would be)."""
    if plan.option == "C":
        return ()
    changed = plan.widths[0] != plan.widths[0] * plan.expansion  # by the very first block
    return tuple(
        f"stages.{stage}.{index}"
        for stage, count in enumerate(plan.stage_blocks)
        for index in range(count)
        if index > 0 or (stage == 0 and not changed)
    )


def require_removable(plan: ResNetPlan) -> None:
    """Raise block_not_removable for a removed block that is needed or that the network does not have."""
    removable = removable_blocks(plan)
    for name in plan.removed:
        if name not in removable:
            raise UserError("block_not_removable", field="removed_blocks", value=name, choices=", ".join(removable) or "-")


def _stem(plan: ResNetPlan, norm: Norm) -> nn.Sequential:
    bias = plan.norm == "none"
    width = plan.widths[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if plan.imagenet_stem:
        layers["conv"] = nn.Conv2d(plan.in_channels, width, 7, 2, padding=3, bias=bias)
    else:
        layers["conv"] = convolution(plan.in_channels, width, 3, bias=bias)
    if plan.version == "v1":
        layers["norm"], layers["relu"] = norm(width), nn.ReLU()
    if plan.imagenet_stem:
        layers["pool"] = nn.MaxPool2d(3, 2, padding=1)
    return nn.Sequential(layers)


def _block(plan: ResNetPlan, norm: Norm, channels: int, width: int, stride: int, drop: float) -> ResidualBlock:
    out, bias = width * plan.expansion, plan.norm == "none"
    changes = stride != 1 or channels != out
    if plan.bottleneck:
        first, second = (stride, 1) if plan.stride_in_1x1 else (1, stride)
        inner = width * plan.inner
        sizes: tuple[tuple[int, int, int, int], ...] = ((channels, inner, 1, first), (inner, inner, 3, second), (inner, out, 1, 1))
    else:
        sizes = ((channels, width, 3, stride), (width, width, 3, 1))
    projects = plan.option == "C" or (plan.option == "B" and changes)
    shared = plan.version == "v2" and projects  # one norm + relu in front of both paths, for the twin too: same parameter names
    residual = residual_branch(sizes, norm, version=plan.version, leading=not shared, bias=bias, groups=plan.groups)
    if plan.residual_scale != 1.0 and not plan.plain:
        residual.add_module("scale", Scale(plan.residual_scale))
    preact = nn.Sequential(OrderedDict(norm=norm(channels), relu=nn.ReLU())) if shared else None
    shortcut: nn.Module | None = None
    if not plan.plain and projects:
        shortcut = projection(channels, out, stride, norm, normalised=plan.version == "v1", bias=bias)
    elif not plan.plain:
        shortcut = ZeroPadding(channels, out, stride) if changes else nn.Identity()
    return ResidualBlock(residual, shortcut, preact=preact, final_relu=plan.version == "v1", drop=0.0 if plan.plain else drop)


def _head(plan: ResNetPlan, norm: Norm, channels: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if plan.version == "v2":
        layers["norm"], layers["relu"] = norm(channels), nn.ReLU()
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["fc"] = nn.Linear(channels, plan.classes)
    return nn.Sequential(layers)
