"""What people call networks, checkpoints and blocks."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dashboard.i18n import t
from dashboard.state import ImageChoice, ShownImage
from resnet_core.models import place_of

if TYPE_CHECKING:
    from resnet_core.runs import Checkpoint

# As their authors write them.
FAMILIES = {
    "resnet": "ResNet", "plain": "Plain", "vgg": "VGG", "densenet": "DenseNet", "seresnet": "SE-ResNet", "lenet": "LeNet", "alexnet": "AlexNet",
    "googlenet": "GoogLeNet", "inception": "Inception", "mobilenet": "MobileNet", "efficientnet": "EfficientNet", "vit": "ViT", "swin": "Swin",
    "deit": "DeiT", "beit": "BEiT", "mocov3": "MoCo v3",
}  # fmt: skip
NETWORKS = {
    "resnext50_32x4d": "ResNeXt-50 (32x4d)", "wide_resnet50_2": "Wide ResNet-50-2", "alexnet": "AlexNet", "googlenet": "GoogLeNet",
    "inception_v3": "Inception v3", "inception_resnet_v2": "Inception-ResNet v2", "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3 small", "mobilenet_v3_large": "MobileNetV3 large", "efficientnet_b0": "EfficientNet-B0",
    "vit_b_16": "ViT-B/16", "swin_t": "Swin-T", "deit_tiny": "DeiT tiny", "deit_small": "DeiT small", "beit_base": "BEiT base",
    "mocov3_vit_small": "MoCo v3 ViT small",
}  # fmt: skip


def network_label(model: str) -> str:
    """`resnet20` is ResNet-20, `vgg16_bn` is VGG-16 BN, `vit_b_16` is ViT-B/16; unknown names stay as they are."""
    match = re.fullmatch(r"(resnet|plain|vgg|densenet|lenet|seresnet)(\d+)(_bn)?", model)
    return f"{FAMILIES[match[1]]}-{match[2]}{' BN' if match[3] else ''}" if match else NETWORKS.get(model, model)


def family_label(family: str) -> str:
    """`vgg` is VGG."""
    return FAMILIES.get(family, family)


def distinct(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels by key, no two alike: a select box tells its options apart by what it shows."""
    counts = Counter(labels.values())
    return {key: f"{label} · {key}" if counts[label] > 1 and label != key else label for key, label in labels.items()}


def block_label(name: str) -> str:
    """`stages.1.0` is "Stage 2, block 1"."""
    stage, block = place_of(name)
    return t("pick.block_name", stage=stage, block=block)


def short_block(name: str) -> str:
    """`stages.1.0` is 2.1: stage and block, for axes."""
    return ".".join(map(str, place_of(name)))


def part_word(part: str) -> str:
    """`stages.1` is "stage 2"."""
    if part.startswith("stages."):
        return t("part.stage", stage=place_of(f"{part}.0")[0])
    return t(f"part.{part}") if part in ("stem", "head") else part


def image_label(image: ShownImage) -> str:
    """`image 12`, `your drawing`, `your picture`."""
    return t("pick.image_name", index=image.index) if isinstance(image, ImageChoice) else t(f"pick.own_{image.kind}")


def before_label(checkpoint: "Checkpoint") -> str:
    """What `own_model(checkpoint, initial=True)` shows: the network before training, or one with random weights where that is not known."""
    from resnet_core.runs.checkpoint import knows_beginning  # here: a list of runs needs names, and no torch

    return t("pick.first" if knows_beginning(checkpoint) else "pick.random")


def checkpoint_label(which: str) -> str:
    """`first`, `epoch-3`, `last`, `best`: the checkpoints that a run keeps."""
    words = {"first": t("pick.first"), "last": t("pick.last"), "best": t("pick.best")}
    return words.get(which) or t("pick.epoch", epoch=which.removeprefix("epoch-"))
