"""Loss and accuracy of a network on a split."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.inspection.recording import untouched
from resnet_core.training.device import FORMATS, ComputePlan


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`confusion` (K, K) counts: rows are labels, columns predictions. `per_class` is each label's accuracy (nan without images)."""

    accuracy: float
    loss: float
    n: int
    per_class: tuple[float, ...]
    confusion: NDArray[np.int64]
    logits: NDArray[np.float32]  # (n, K)


MOST_IMAGES, MOST_PIXELS = 500, 500 * 96 * 96  # of one batch: it has to fit where a smaller batch with gradients was trained
FLOAT32 = ComputePlan(precision="float32", memory_format="contiguous")


def predict_batches(
    model: nn.Module,
    split: Split,
    spec: DataSpec,
    *,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
    plan: ComputePlan = FLOAT32,
) -> Iterator[tuple[int, torch.Tensor]]:
    """(images done so far, logits (B, K) in float32) batch by batch, in eval mode; every module's own mode is given back after each batch.

    Without a `batch_size`, as many images as make MOST_PIXELS, and no more than MOST_IMAGES.
    """
    device = torch.device(device)
    batch_size = batch_size or max(1, min(MOST_IMAGES, MOST_PIXELS // (spec.height * spec.width)))
    done = 0
    for pixels in split.in_order(batch_size):
        images = normalize(pixels.to(device), spec).to(memory_format=FORMATS[plan.memory_format])
        with untouched(model), torch.inference_mode(), plan.computing(device):
            logits = model(images)
        done += len(images)
        yield done, logits.float()


def evaluate(
    model: nn.Module,
    split: Split,
    spec: DataSpec,
    *,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
    plan: ComputePlan = FLOAT32,
) -> Evaluation:
    """Measure the whole split at once; float32 unless `plan` says otherwise."""
    logits = [part for _, part in predict_batches(model, split, spec, batch_size=batch_size, device=device, plan=plan)]
    return score(torch.cat(logits), split.labels.to(device), len(spec.classes))


def score(logits: torch.Tensor, labels: torch.Tensor, classes: int) -> Evaluation:
    """The evaluation that these logits (n, K) earn against labels (n,)."""
    predicted = logits.argmax(1)
    confusion = torch.bincount(labels * classes + predicted, minlength=classes * classes).view(classes, classes).cpu().numpy()
    with np.errstate(invalid="ignore"):
        per_class = confusion.diagonal() / confusion.sum(1)
    return Evaluation(
        accuracy=int((predicted == labels).sum()) / len(labels),
        loss=float(nn.functional.cross_entropy(logits, labels)),
        n=len(labels),
        per_class=tuple(float(v) for v in per_class),
        confusion=confusion,
        logits=logits.cpu().numpy(),
    )
