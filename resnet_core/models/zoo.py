"""The wider family: networks that torchvision builds, adapted to the channels, the size and the classes of these data.

For small images (sides up to 64 px, or stem=small) a network keeps resolution at its start, as the ResNets do: strides of 2 become 1, large
kernels 3x3, early poolings are left out; heads made for 7x7 maps become small; patches of transformers shrink. With stem=imagenet only
channels and classes change. torchvision is imported when such a network is built, and not before.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError
from resnet_core.models.adapting import (
    change_conv,
    leave_out,
    modules_for_relus,
    nothing_in_place,
    without_memory,
)
from resnet_core.models.entry import (
    ATTENTION,
    GATE,
    MAX_POOL,
    OTHER_ACTIVATION,
    Capabilities,
    ModelEntry,
    is_small,
)
from resnet_core.models.lenet import lenet5

SMALL_HEAD = 512  # units of the linear layers of AlexNet and VGG on small images, instead of 4096
VGG_LAYERS = {11: "A", 16: "D", 19: "E"}
VGG_CONVS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # Simonyan and Zisserman 2014, table 1


@dataclass(frozen=True, kw_only=True)
class Build:
    """What a builder is told: `width` multiplies channels, `patch` is the side of a transformer's patches in px."""

    channels: int
    classes: int
    height: int
    breadth: int
    small: bool
    width: float
    patch: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """What differs between the network for small images and the original: the least side, and what keeps DeepLift from being sound."""

    smallest: int = 1
    obstacle: str = ""


Builder = Callable[[Build], nn.Module]


def entry(
    name: str,
    family: str,
    depth: int,
    builder: Builder,
    *,
    source: str,
    small: Place,
    original: Place,
    gradcam: tuple[str, ...] = (),
    settings: tuple[str, ...] = ("stem",),
    patches: tuple[int, int] | None = None,
    he: bool = False,
    extra: str | None = None,
) -> ModelEntry:
    """One row of the table; `patches` are the sides of a transformer's patches on small images and in the original."""

    def patch(config: ModelConfig, spec: DataSpec) -> int:
        return 1 if patches is None else config.patch or patches[0 if is_small(config, spec) else 1]

    def capabilities(config: ModelConfig, spec: DataSpec) -> Capabilities:
        place = small if is_small(config, spec) else original
        side = patch(config, spec)
        return Capabilities(
            gradcam_layers=gradcam,
            deeplift_obstacle=place.obstacle,
            smallest=max(place.smallest, side),
            multiple_of=side,
            family=family,
            source=source,
        )

    def build(config: ModelConfig, spec: DataSpec) -> nn.Module:
        asked = Build(
            channels=spec.channels,
            classes=len(spec.classes),
            height=spec.height,
            breadth=spec.width,
            small=is_small(config, spec),
            width=config.width,
            patch=patch(config, spec),
        )
        if patches is not None and spec.height != spec.width:
            raise UserError("image_not_square", name=name, height=spec.height, width=spec.width)
        return nothing_in_place(builder(asked))

    return ModelEntry(
        name=name,
        family=family,
        depth=depth,
        build=build,
        capabilities=capabilities,
        settings=(*settings, "patch") if patches else settings,
        source=source,
        he=he,
        extra=extra,
    )


# -- convolutional networks ----------------------------------------------------------------------------------------------------------------


def _lenet5(asked: Build) -> nn.Module:
    return lenet5(asked.channels, asked.classes, asked.height, asked.breadth)


def _head(features: int, hidden: int, classes: int, *, dropout_first: bool) -> nn.Sequential:
    """Three linear layers with dropout, numbered as torchvision numbers them: AlexNet drops before each of the first two, VGG after."""
    first, second = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
    last = nn.Linear(hidden, classes)
    if dropout_first:
        return nn.Sequential(nn.Dropout(), first, nn.ReLU(), nn.Dropout(), second, nn.ReLU(), last)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(), second, nn.ReLU(), nn.Dropout(), last)


def _alexnet(asked: Build) -> nn.Module:
    from torchvision.models import AlexNet

    model: nn.Module = AlexNet(num_classes=asked.classes) if not asked.small else without_memory(AlexNet)
    if not asked.small:
        change_conv(model, "features.0", in_channels=asked.channels)
        return model
    features = nn.Sequential(*(_real(layer) for layer in model.features))  # type: ignore[union-attr]
    features[0] = nn.Conv2d(asked.channels, 64, 3, padding=1)
    return _assembled(features, 2, _head(256 * 2 * 2, SMALL_HEAD, asked.classes, dropout_first=True))


def _vgg(depth: int, batch_norm: bool, asked: Build) -> nn.Module:
    from torchvision.models.vgg import cfgs, make_layers

    widths = [layer if layer == "M" else _eights(layer * asked.width) for layer in cfgs[VGG_LAYERS[depth]]]
    features = make_layers(widths, batch_norm=batch_norm)
    change_conv(features, "0", in_channels=asked.channels)
    last = widths[-2]
    if not asked.small:
        return _assembled(features, 7, _head(last * 7 * 7, 4096, asked.classes, dropout_first=False))
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True  # 28 -> 14 -> 7 -> 4 -> 2 -> 1
    return _assembled(features, 1, _head(last, SMALL_HEAD, asked.classes, dropout_first=False))


def _assembled(features: nn.Module, side: int, classifier: nn.Sequential) -> nn.Module:
    layers = OrderedDict(features=features, avgpool=nn.AdaptiveAvgPool2d(side), flatten=nn.Flatten(), classifier=classifier)
    return nn.Sequential(layers)


def _real(layer: nn.Module) -> nn.Module:
    """A layer with weights of its own instead of one on the meta device."""
    if not isinstance(layer, nn.Conv2d):
        return layer
    return nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]


def _eights(channels: float) -> int:
    return max(8, 8 * round(channels / 8))


def _googlenet(asked: Build) -> nn.Module:
    from torchvision.models.googlenet import BasicConv2d, GoogLeNet

    # The two auxiliary heads helped training before BatchNorm, which this version has (as torchvision's).
    model: nn.Module = GoogLeNet(num_classes=asked.classes, aux_logits=False, transform_input=False, init_weights=True)
    changes: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1} if asked.small else {}
    change_conv(model, "conv1.conv", in_channels=asked.channels, **changes)
    if asked.small:
        leave_out(model, "maxpool1")
    modules_for_relus(model, (BasicConv2d,))
    return model


def _inception(asked: Build) -> nn.Module:
    from torchvision.models.inception import BasicConv2d, Inception3

    model: nn.Module = Inception3(num_classes=asked.classes, aux_logits=False, transform_input=False, init_weights=True)
    changes: dict[str, Any] = {"stride": 1} if asked.small else {}
    change_conv(model, "Conv2d_1a_3x3.conv", in_channels=asked.channels, **changes)
    if asked.small:
        leave_out(model, "maxpool1")
    modules_for_relus(model, (BasicConv2d,))
    return model


def _densenet(asked: Build) -> nn.Module:
    from torchvision.models import DenseNet

    growth = _eights(32 * asked.width)
    model = DenseNet(growth, (6, 12, 24, 16), num_init_features=2 * growth, num_classes=asked.classes)
    changes: dict[str, Any] = {"kernel_size": 3, "stride": 1, "padding": 1} if asked.small else {}
    change_conv(model, "features.conv0", in_channels=asked.channels, **changes)
    if asked.small:
        leave_out(model, "features.pool0")
    # torchvision's forward calls a functional ReLU in place on the last norm's output
    layers = OrderedDict(features=model.features, relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    return nn.Sequential(OrderedDict(**layers, classifier=model.classifier))


def _mobile(name: str, asked: Build) -> nn.Module:
    """MobileNets and EfficientNet: on small images the first convolution keeps the resolution."""
    from torchvision import models

    widths: dict[str, Any] = {} if name == "efficientnet_b0" else {"width_mult": asked.width}
    model: nn.Module = getattr(models, name)(num_classes=asked.classes, **widths)
    change_conv(model, "features.0.0", in_channels=asked.channels, **({"stride": 1} if asked.small else {}))
    return model


# -- transformers --------------------------------------------------------------------------------------------------------------------------


def _vit(asked: Build) -> nn.Module:
    from torchvision.models import VisionTransformer

    heads = max(1, round(12 * asked.width))  # 64 units each; a width of 0.25 is DeiT-Ti
    model: nn.Module = VisionTransformer(asked.height, asked.patch, 12, heads, 64 * heads, 4 * 64 * heads, num_classes=asked.classes)
    change_conv(model, "conv_proj", in_channels=asked.channels)
    return model


def _swin(asked: Build) -> nn.Module:
    from torchvision.models import SwinTransformer

    heads = max(1, round(3 * asked.width))  # 32 units each
    model: nn.Module = SwinTransformer(
        [asked.patch] * 2, 32 * heads, [2, 2, 6, 2], [heads, 2 * heads, 4 * heads, 8 * heads], [7, 7],
        stochastic_depth_prob=0.2, num_classes=asked.classes,
    )  # fmt: skip
    change_conv(model, "features.0.0", in_channels=asked.channels)
    return model


# -- the table -----------------------------------------------------------------------------------------------------------------------------


def _vgg_entry(depth: int, batch_norm: bool) -> ModelEntry:
    per_conv, gradcam, index = 3 if batch_norm else 2, [], -1
    for convs in VGG_CONVS[depth]:
        index += convs * per_conv
        gradcam.append(f"features.{index}")
        index += 1
    return entry(
        f"vgg{depth}{'_bn' if batch_norm else ''}",
        "vgg",
        depth,
        partial(_vgg, depth, batch_norm),
        source="Simonyan and Zisserman 2014, arXiv:1409.1556",
        small=Place(smallest=1, obstacle=MAX_POOL),
        original=Place(smallest=32, obstacle=MAX_POOL),
        gradcam=tuple(gradcam),
        settings=("stem", "width"),
        he=True,
    )


def _mobile_entry(name: str, family: str, depth: int, source: str, stages: tuple[int, ...], obstacle: str, *, width: bool) -> ModelEntry:
    return entry(
        name,
        family,
        depth,
        partial(_mobile, name),
        source=source,
        small=Place(obstacle=obstacle),
        original=Place(obstacle=obstacle),
        gradcam=tuple(f"features.{stage}" for stage in stages),
        settings=("stem", "width") if width else ("stem",),
    )


TORCHVISION: tuple[ModelEntry, ...] = (
    entry(
        "lenet5",
        "lenet",
        5,
        _lenet5,
        source="LeCun et al. 1998, Proc. IEEE 86(11), section II.B",
        small=Place(smallest=12),
        original=Place(smallest=12),
        gradcam=("features.tanh1", "features.tanh2"),
        settings=(),
    ),
    entry(
        "alexnet",
        "alexnet",
        8,
        _alexnet,
        source="Krizhevsky et al. 2012; one column: Krizhevsky 2014, arXiv:1404.5997",
        small=Place(smallest=15, obstacle=MAX_POOL),
        original=Place(smallest=63, obstacle=MAX_POOL),
        gradcam=("features.1", "features.4", "features.11"),
        he=True,
    ),
    *(_vgg_entry(depth, batch_norm) for depth in VGG_LAYERS for batch_norm in (False, True)),
    entry(
        "googlenet",
        "googlenet",
        22,
        _googlenet,
        source="Szegedy et al. 2014, arXiv:1409.4842",
        small=Place(smallest=4, obstacle=MAX_POOL),
        original=Place(smallest=15, obstacle=MAX_POOL),
        gradcam=("inception3b", "inception4e", "inception5b"),
    ),
    entry(
        "inception_v3",
        "inception",
        48,
        _inception,
        source="Szegedy et al. 2015, arXiv:1512.00567",
        small=Place(smallest=21, obstacle=MAX_POOL),
        original=Place(smallest=75, obstacle=MAX_POOL),
        gradcam=("Mixed_5d", "Mixed_6e", "Mixed_7c"),
    ),
    entry(
        "densenet121",
        "densenet",
        121,
        _densenet,
        source="Huang et al. 2016, arXiv:1608.06993",
        small=Place(smallest=8),
        original=Place(smallest=29, obstacle=MAX_POOL),
        gradcam=("features.denseblock1", "features.denseblock2", "features.denseblock3", "relu"),
        settings=("stem", "width"),
    ),
    _mobile_entry(
        "mobilenet_v2", "mobilenet", 53, "Sandler et al. 2018, arXiv:1801.04381", (1, 3, 6, 13, 18), OTHER_ACTIVATION, width=True
    ),
    _mobile_entry(
        "mobilenet_v3_small", "mobilenet", 36, "Howard et al. 2019, arXiv:1905.02244", (0, 1, 3, 8, 12), OTHER_ACTIVATION, width=True
    ),
    _mobile_entry(
        "mobilenet_v3_large", "mobilenet", 47, "Howard et al. 2019, arXiv:1905.02244", (1, 3, 6, 12, 16), OTHER_ACTIVATION, width=True
    ),
    _mobile_entry("efficientnet_b0", "efficientnet", 50, "Tan and Le 2019, arXiv:1905.11946", (1, 2, 3, 5, 8), GATE, width=False),
    entry(
        "vit_b_16",
        "vit",
        50,
        _vit,
        source="Dosovitskiy et al. 2020, arXiv:2010.11929",
        small=Place(obstacle=ATTENTION),
        original=Place(obstacle=ATTENTION),
        settings=("stem", "width"),
        patches=(4, 16),
    ),
    entry(
        "swin_t",
        "swin",
        53,
        _swin,
        source="Liu et al. 2021, arXiv:2103.14030",
        small=Place(obstacle=ATTENTION),
        original=Place(obstacle=ATTENTION),
        gradcam=("permute",),
        settings=("stem", "width"),
        patches=(2, 4),
    ),
)
