"""What two networks answer to the same images, and where they part."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_core.calibration import Reliability, reliability
from resnet_core.data.spec import DataSpec, Split
from resnet_core.errors import UserError
from resnet_core.models import name_of
from resnet_core.statistics import Interval, McNemar, mcnemar, wilson_interval
from resnet_core.training.device import ComputePlan
from resnet_core.training.evaluate import Evaluation, predict_batches, score

BATCH_SIZE = 100
PLAN = ComputePlan(precision="float32", memory_format="channels_last")  # exact, and on CPUs the faster order
SHORTCUTS = ("a_only", "b_only", "both_wrong", "disagree", "confident_mistakes")
AGAINST = ("b", "label")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One network's probabilities (n, K) for n images with labels (n,), and what they cost in batches of `batch_size`.

    `seconds` is the whole; `fastest` is the seconds per image of the fastest batch, which says more about the network: the first one also
    builds kernels, and whatever else the machine does only adds to a batch. `threads` are those of a CPU.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    evaluation: Evaluation
    seconds: float
    fastest: float
    batch_size: int
    threads: int

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        return np.asarray(self.evaluation.logits.argmax(1))

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """Of each answer, the probability that the network gives it."""
        return np.asarray(self.probabilities.max(1))

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        return np.asarray(self.predictions == self.labels)

    @property
    def accuracy(self) -> Interval:
        return wilson_interval(int(self.right.sum()), len(self))

    @cached_property
    def reliability(self) -> Reliability:
        return reliability(self.confidence, self.right)

    def class_accuracy(self, label: int) -> Interval:
        """Of the images of one class."""
        own = self.right[self.labels == label]
        return wilson_interval(int(own.sum()), len(own))

    @property
    def seconds_per_1000(self) -> float:
        """Of its fastest batch."""
        return 1000 * self.fastest

    @property
    def expected_seconds_per_1000(self) -> float:
        """On this machine, with whatever else it does."""
        return 1000 * self.seconds / len(self)


def answer(
    model: nn.Module,
    split: Split,
    spec: DataSpec,
    *,
    batch_size: int = BATCH_SIZE,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Answers:
    """All answers of a network to a split at the network's own size, in float32 and eval mode."""
    device, parts, fastest = torch.device(device), [], math.inf
    images, model = split.to(device), model.to(device)
    start = since = time.perf_counter()
    for done, logits in predict_batches(model, images, spec, batch_size=batch_size, device=device, plan=PLAN):
        parts.append(logits.cpu())  # which also waits for the device
        now = time.perf_counter()
        fastest, since = min(fastest, (now - since) / len(logits)), now
        if progress is not None:
            progress(done, len(images))
    seconds = time.perf_counter() - start
    logits = torch.cat(parts)
    if not bool(logits.isfinite().all()):
        raise UserError("answers_not_finite", name=name_of(model))
    return Answers(
        probabilities=logits.softmax(1).numpy(),
        labels=split.labels.cpu().numpy(),
        evaluation=score(logits, split.labels.cpu(), len(spec.classes)),
        seconds=seconds,
        fastest=fastest,
        batch_size=batch_size,
        threads=torch.get_num_threads(),
    )


@dataclass(frozen=True, kw_only=True)
class PairAnswers:
    """Both networks' answers to the same images in the same order."""

    a: Answers
    b: Answers

    def __post_init__(self) -> None:
        if not np.array_equal(self.a.labels, self.b.labels):
            raise ValueError("answers to different images cannot be compared")

    def __len__(self) -> int:
        return len(self.a)

    @cached_property
    def mcnemar(self) -> McNemar:
        return mcnemar(self.a.right, self.b.right)

    def _columns(self, against: str) -> NDArray[np.int64]:
        return self.b.predictions if against == "b" else self.a.labels

    def matrix(self, against: str = "b") -> NDArray[np.int64]:
        """(K, K) counts: rows are A's answers, columns B's, or the labels for `against="label"`."""
        classes = self.a.probabilities.shape[1]
        cells = self.a.predictions * classes + self._columns(against)
        return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)

    def cell(self, row: int, column: int, against: str = "b") -> NDArray[np.int64]:
        """Places of the images in one cell of the matrix, the least certain of A first."""
        found = np.flatnonzero((self.a.predictions == row) & (self._columns(against) == column))
        return found[np.argsort(self.a.confidence[found], kind="stable")]

    def shortcut(self, name: str) -> NDArray[np.int64]:
        """Places of the images of one of SHORTCUTS, the surest mistake first (of disagreements, the surest answers)."""
        a, b = self.a, self.b
        mistake = np.maximum(np.where(a.right, 0, a.confidence), np.where(b.right, 0, b.confidence))
        chosen = {
            "a_only": a.right & ~b.right,
            "b_only": b.right & ~a.right,
            "both_wrong": ~a.right & ~b.right,
            "disagree": a.predictions != b.predictions,
            "confident_mistakes": ~a.right | ~b.right,
        }
        if name not in chosen:
            raise UserError("not_a_choice", field="shortcut", value=name, choices=", ".join(SHORTCUTS))
        found = np.flatnonzero(chosen[name])
        weight = np.minimum(a.confidence, b.confidence) if name == "disagree" else mistake
        return found[np.argsort(-weight[found], kind="stable")]
