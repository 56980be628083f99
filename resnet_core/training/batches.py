"""What one step sees: the images of its batch, changed by chance, and what is asked of the answers."""

from dataclasses import dataclass

from torch import Tensor, nn

from resnet_core.config import RunConfig
from resnet_core.data import DataSpec, augment, mixup
from resnet_core.data.draws import Share
from resnet_core.training.streams import CHANGES, MIXTURE, seeded


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Labels (B,); where images are mixed also their partners' labels, and the weight of the first ones (Zhang et al. 2018)."""

    labels: Tensor
    smoothing: float
    partners: Tensor | None = None
    weight: Tensor | None = None

    def at(self, places: slice) -> "Targets":
        """Those of these images alone."""
        partners = None if self.partners is None else self.partners[places]
        return Targets(labels=self.labels[places], smoothing=self.smoothing, partners=partners, weight=self.weight)

    def loss(self, logits: Tensor) -> Tensor:
        """The mean over the images."""
        loss = nn.functional.cross_entropy(logits, self.labels, label_smoothing=self.smoothing)
        if self.partners is None or self.weight is None:
            return loss
        return self.weight * loss + (1 - self.weight) * nn.functional.cross_entropy(logits, self.partners, label_smoothing=self.smoothing)

    def right(self, logits: Tensor) -> Tensor:
        """How many answers are right; each label of a mixed image counts for its share."""
        answers = logits.detach().argmax(1)
        right = (answers == self.labels).sum()
        if self.partners is None or self.weight is None:
            return right
        return self.weight * right + (1 - self.weight) * (answers == self.partners).sum()


def changed_batch(
    config: RunConfig, spec: DataSpec, pixels: Tensor, labels: Tensor, step: int, share: Share | None = None
) -> tuple[Tensor, Targets]:
    """A batch of bytes (B, C, H, W) as this step (from 0) of the training changes it: floats in [0, 1], on the device of the labels."""
    changes, seed, device = config.augment, config.train.seed, labels.device
    images = pixels.to(device).float() / 255
    images = augment(images, changes, seeded(seed, CHANGES, step, device=device), fill=spec.mean, share=share)
    partners = weight = None
    if changes.mixup > 0:
        images, labels, partners, weight = mixup(images, labels, changes.mixup, seeded(seed, MIXTURE, step, device=device))
    return images, Targets(labels=labels, smoothing=config.train.label_smoothing, partners=partners, weight=weight)
