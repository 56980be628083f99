"""What people call networks, checkpoints and blocks."""

import re

from dashboard.i18n import t
from dashboard.state import ImageChoice, ShownImage
from resnet_core.models import place_of


def network_label(model: str) -> str:
    """`resnet20` is ResNet-20, `plain20` is Plain-20; other names stay as they are."""
    match = re.fullmatch(r"(resnet|plain)(\d+)", model)
    return f"{'ResNet' if match[1] == 'resnet' else 'Plain'}-{match[2]}" if match else model


def block_label(name: str) -> str:
    """`stages.1.0` is "Stage 2, block 1"."""
    stage, block = place_of(name)
    return t("pick.block_name", stage=stage, block=block)


def short_block(name: str) -> str:
    """`stages.1.0` is 2.1: stage and block, for axes."""
    return ".".join(map(str, place_of(name)))


def image_label(image: ShownImage) -> str:
    """`image 12`, `your drawing`, `your picture`."""
    return t("pick.image_name", index=image.index) if isinstance(image, ImageChoice) else t(f"pick.own_{image.kind}")


def checkpoint_label(which: str) -> str:
    """`first`, `epoch-3`, `last`, `best`: the checkpoints that a run keeps."""
    words = {"first": t("pick.first"), "last": t("pick.last"), "best": t("pick.best")}
    return words.get(which) or t("pick.epoch", epoch=which.removeprefix("epoch-"))
