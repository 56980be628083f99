"""What the network will see: the first images of a training's first step, before and after augmentation."""

from torch import Tensor

from resnet_core.config import RunConfig
from resnet_core.data import DataSpec, Split
from resnet_core.data.draws import Share
from resnet_core.training.batches import changed_batch
from resnet_core.training.streams import epoch_order

SHOWN = 32
MOST = 2048  # images of the step that are changed to find the partners that mixup draws


def first_images(config: RunConfig, split: Split) -> Split:
    """Those of the first step that `as_seen` needs."""
    order = epoch_order(len(split), config.train.seed, 1)[: config.train.batch_size]
    return split.take(order[: SHOWN if config.augment.mixup == 0 else MOST])


def as_seen(config: RunConfig, first: Split, spec: DataSpec, *, count: int) -> Tensor:
    """The first SHOWN of them in [0, 1] (N, C, H, W), as the training on this device changes them; `count` images make a step."""
    share = Share(places=slice(0, len(first)), total=count) if len(first) < count else None
    images, _ = changed_batch(config, spec, first.images[:], first.labels, 0, share)
    return images[:SHOWN]
