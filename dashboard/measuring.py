"""What pages measure on a checkpoint, each kept per file, image and block: looking again costs nothing.

The numbers are resnet_core's; here they only get a copy of the network of their own and a place in a bounded cache.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from dashboard.loading import (
    block_names,
    checkpoint_images,
    file_state,
    idle_cores,
    images_beside,
    images_for,
    labelled_images,
    own_model,
    settled_model,
)
from dashboard.memory import tidied
from dashboard.state import ImageChoice, OwnImage, ShownImage
from resnet_core.config import DataConfig
from resnet_core.data import Split, normalize, some_images
from resnet_core.errors import UserError
from resnet_core.inspection import (
    BlockMaps,
    BlockStatistics,
    DecisionReport,
    Lesion,
    Probe,
    block_maps,
    decisions,
    lesion_accuracies,
    residual_statistics,
    swappable,
)
from resnet_core.inspection.layers import LayerMaps, layer_maps
from resnet_core.runs import Checkpoint

LESION_IMAGES = 500
PROBE_IMAGES = 2000
TIMED = 16  # images in the trial that says what more of them will cost


@dataclass(frozen=True, kw_only=True)
class PickedImage:
    """One image of a split: pixels uint8 (H, W) or (H, W, 3), its label and the name of the label's class."""

    pixels: NDArray[np.uint8]
    label: int
    class_name: str


def picked_image(checkpoint: Checkpoint, choice: ImageChoice) -> PickedImage:
    """Raises index_out_of_range, and what opening the split raises."""
    spec, split = checkpoint_images(checkpoint, choice.dataset, choice.split)
    if not 0 <= choice.index < len(split):
        raise UserError("index_out_of_range", name=choice.dataset, split=choice.split, value=choice.index, last=len(split) - 1)
    label = int(split.labels[choice.index])
    return PickedImage(pixels=pixels_of(split.images[choice.index]), label=label, class_name=spec.classes[label])


def pixels_of(image: torch.Tensor) -> NDArray[np.uint8]:
    """uint8 (C, H, W) -> (H, W) or (H, W, 3), as pictures are drawn."""
    array = image.cpu().numpy()
    return array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))


def label_of(checkpoint: Checkpoint, image: ShownImage) -> str | None:
    """The name of its class; None for a person's own picture, whose class nobody knows."""
    return picked_image(checkpoint, image).class_name if isinstance(image, ImageChoice) else None


def _alone(checkpoint: Checkpoint, image: ShownImage, beside: Checkpoint | None = None) -> Split:
    """The one image as a split, counted as `beside` counts them; a picture without a label gets class 0, which nobody looks at."""
    if isinstance(image, OwnImage):
        pixels = torch.frombuffer(bytearray(image.content), dtype=torch.uint8).view(1, *image.shape)
        return Split(images=pixels, labels=torch.zeros(1, dtype=torch.int64))
    split = images_beside(beside or checkpoint, checkpoint, image.dataset, image.split)
    return split.take(torch.tensor([image.index]))


def network_input(checkpoint: Checkpoint, image: ShownImage) -> torch.Tensor:
    """The image as the network gets it: normalised (1, C, H, W)."""
    return normalize(_alone(checkpoint, image).images, checkpoint.spec)


def probabilities(checkpoint: Checkpoint, choice: ShownImage) -> NDArray[np.float32]:
    """(K,) of the network's classes."""
    return _probabilities(file_state(checkpoint), str(choice), checkpoint, choice)


@st.cache_data(max_entries=256, show_spinner=False)
def _probabilities(state: tuple[str, float], image: str, _checkpoint: Checkpoint, _choice: ShownImage) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits = settled_model(_checkpoint)(network_input(_checkpoint, _choice))
    return logits.float().softmax(1)[0].cpu().numpy()


def maps_of(checkpoint: Checkpoint, choice: ShownImage, block: str) -> BlockMaps:
    """x, F(x), shortcut, sum and output of one block."""
    return _maps(file_state(checkpoint), str(choice), block, checkpoint, choice)


@st.cache_data(max_entries=64, show_spinner=False)
def _maps(state: tuple[str, float], image: str, block: str, _checkpoint: Checkpoint, _choice: ShownImage) -> BlockMaps:
    return block_maps(settled_model(_checkpoint), network_input(_checkpoint, _choice), block)


def layers_of(checkpoint: Checkpoint, image: ShownImage) -> tuple[LayerMaps, ...]:
    """Activations of every shown layer of a network of any kind."""
    return _layers(file_state(checkpoint), str(image), checkpoint, image)


@st.cache_data(max_entries=2, show_spinner=False)
@tidied
def _layers(state: tuple[str, float], image: str, _checkpoint: Checkpoint, _image: ShownImage) -> tuple[LayerMaps, ...]:
    return layer_maps(settled_model(_checkpoint), network_input(_checkpoint, _image))


def statistics_of(
    checkpoint: Checkpoint, dataset: str, split: str, *, count: int, seed: int, initial: bool = False, beside: Checkpoint | None = None
) -> tuple[BlockStatistics, ...]:
    """Every block over `count` images drawn by `seed`, in eval mode; with `initial`, of the network before its first step. Random weights
    have BatchNorms that know these images and no others. The images are those of `beside`, whose training may have cut its data
    otherwise."""
    cut = beside or checkpoint
    return _statistics(file_state(checkpoint), dataset, split, cut.config.data, count, seed, initial, checkpoint, cut)


@st.cache_data(max_entries=64, show_spinner=False)
@tidied
def _statistics(
    state: tuple[str, float],
    dataset: str,
    split: str,
    cut: DataConfig,
    count: int,
    seed: int,
    initial: bool,
    _checkpoint: Checkpoint,
    _cut: Checkpoint,
) -> tuple[BlockStatistics, ...]:
    images = images_beside(_cut, _checkpoint, dataset, split)
    chosen = images.take(some_images(len(images), count, seed))
    inputs = normalize(chosen.images, _checkpoint.spec)
    with idle_cores():
        return residual_statistics(settled_model(_checkpoint, inputs, initial=initial), inputs)


def seconds_per_image(checkpoint: Checkpoint) -> float:
    """What one image costs in `statistics_of` on this machine (a network without blocks: in a forward pass): timed once, on noise."""
    return _seconds_per_image(file_state(checkpoint), checkpoint)


@st.cache_data(max_entries=64, show_spinner=False)
def _seconds_per_image(state: tuple[str, float], _checkpoint: Checkpoint) -> float:
    model, spec = own_model(_checkpoint), _checkpoint.spec
    noise = torch.randn(TIMED, spec.channels, spec.height, spec.width)
    has_blocks = bool(block_names(_checkpoint))

    @torch.inference_mode()
    def look(images: torch.Tensor) -> None:
        residual_statistics(model, images) if has_blocks else model(images)

    look(noise[:1])  # the first pass also allocates
    start = time.perf_counter()
    look(noise)
    return (time.perf_counter() - start) / TIMED


# -- lesions ----------------------------------------------------------------------------------------------------------------------


def some_test_images(checkpoint: Checkpoint, dataset: str, count: int | None, *, seed: int = 0) -> Split:
    """`count` test images drawn by `seed`; all of them for None."""
    _, split = labelled_images(checkpoint, dataset, "test")
    return split if count is None else split.take(some_images(len(split), count, seed))


def lesion_count(checkpoint: Checkpoint, dataset: str) -> int:
    """How many test images lesions are measured on here: LESION_IMAGES, or all where there are fewer."""
    return min(LESION_IMAGES, len(labelled_images(checkpoint, dataset, "test")[1]))


def lesion_of(checkpoint: Checkpoint, dataset: str, off: tuple[str, ...], order: tuple[str, ...] | None = None) -> Lesion:
    """Accuracy on LESION_IMAGES test images without these blocks, in this order."""
    return _lesion(file_state(checkpoint), dataset, off, order, checkpoint)


@st.cache_data(max_entries=512, show_spinner=False)
def _lesion(state: tuple[str, float], dataset: str, off: tuple[str, ...], order: tuple[str, ...] | None, _checkpoint: Checkpoint) -> Lesion:
    images = some_test_images(_checkpoint, dataset, LESION_IMAGES)
    return lesion_accuracies(settled_model(_checkpoint), images, _checkpoint.spec, [off], order=order)[0]


def lesioned_probabilities(
    checkpoint: Checkpoint, choice: ShownImage, off: tuple[str, ...], order: tuple[str, ...] | None = None, *, beside: Checkpoint
) -> NDArray[np.float32]:
    """(K,) of one image, the one that `beside` shows, without these blocks, in this order."""
    return _lesioned_probabilities(file_state(checkpoint), file_state(beside), str(choice), off, order, checkpoint, choice, beside)


@st.cache_data(max_entries=512, show_spinner=False)
def _lesioned_probabilities(
    state: tuple[str, float],
    state_beside: tuple[str, float],
    image: str,
    off: tuple[str, ...],
    order: tuple[str, ...] | None,
    _checkpoint: Checkpoint,
    _choice: ShownImage,
    _beside: Checkpoint,
) -> NDArray[np.float32]:
    alone = _alone(_checkpoint, _choice, _beside)
    (found,) = lesion_accuracies(settled_model(_checkpoint), alone, _checkpoint.spec, [off], order=order, probabilities=True)
    assert found.probabilities is not None
    return found.probabilities[0]


def swappable_blocks(checkpoint: Checkpoint) -> dict[str, tuple[str, ...]]:
    """For each block that can change places with others, these others."""
    return _swappable_blocks(file_state(checkpoint), checkpoint)


@st.cache_data(max_entries=64, show_spinner=False)
def _swappable_blocks(state: tuple[str, float], _checkpoint: Checkpoint) -> dict[str, tuple[str, ...]]:
    model = own_model(_checkpoint)
    return {name: others for name in block_names(_checkpoint) if (others := swappable(model, name))}


# -- decisions --------------------------------------------------------------------------------------------------------------------


def probe_images(checkpoint: Checkpoint) -> Split:
    """PROBE_IMAGES training images for the probes of a checkpoint."""
    _, split = labelled_images(checkpoint, images_for(checkpoint), "train")
    return split.take(some_images(len(split), PROBE_IMAGES, 0))


def decision_of(checkpoint: Checkpoint, choice: ShownImage, probes: Mapping[str, Probe]) -> DecisionReport:
    """How the answer to one image forms, read with these probes."""
    return decisions(settled_model(checkpoint), _alone(checkpoint, choice), checkpoint.spec, probes)
