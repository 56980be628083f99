"""What every verb that looks inside a network opens first: the checkpoint, some of its images, and the network itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_core.commands.evaluate import data_for, require_classes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnet_core.data import Split
    from resnet_core.runs import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Looked:
    """`chosen` are the drawn images with their labels, `inputs` the same normalised (N, C, H, W)."""

    checkpoint: "Checkpoint"
    chosen: "Split"
    inputs: "Tensor"
    model: "nn.Module"


def look_at(checkpoint: str, dataset: str | None, split: str, *, count: int, seed: int, initial: bool, with_labels: bool = False) -> Looked:
    """The trained network, or with `initial` the one before its first step, whose norms are then settled on drawn images.

    Raises what opening either of them raises, checkpoint_channels, and `with_labels` checkpoint_classes.
    """
    from resnet_core.data import load_split, normalize, some_images, spread
    from resnet_core.inspection import ENOUGH, settle_norms
    from resnet_core.runs import find_checkpoint, initial_model, is_drawn, load_model, require_channels

    found = find_checkpoint(checkpoint)
    spec, images = load_split(data_for(found, dataset), split)
    require_channels(found, spec.channels)
    if with_labels:
        require_classes(found, spec)
    chosen = images.take(some_images(len(images), count, seed))
    inputs = normalize(chosen.images, found.spec)
    model = initial_model(found) if initial else load_model(found)
    if is_drawn(found, initial=initial):
        if len(inputs) > 1:
            settle_norms(model, inputs[spread(len(inputs), ENOUGH)])
        else:  # a single one may have no variance
            settle_norms(model, normalize(images.take(spread(len(images), ENOUGH)).images, found.spec))
    return Looked(checkpoint=found, chosen=chosen, inputs=inputs, model=model)
