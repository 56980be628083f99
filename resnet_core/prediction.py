"""What networks say about one prepared drawing: calibrated probabilities, whether it looks like a digit to them, and one verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_core import calibration
from resnet_core.data import DataSpec, normalize
from resnet_core.familiarity import Familiarity, fitted, with_features
from resnet_core.models import get_entry
from resnet_core.runs import Checkpoint

SURE, LIKELY = 0.95, 0.70  # least probability of the answer, by the network that gives it least
Certainty = Literal["sure", "likely", "odd", "unsure", "none"]


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """One network's probabilities (K,) in the order of `classes`, divided by its `temperature` where it has one.

    `strangeness` is above 0 where the drawing looks like no digit to it, `oddness` already where it would be an unusual one, `farther` is
    the share of real digits that look even less like one; all are None where that was not learnt of this network, or it is not for digits.
    """

    network: str
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    temperature: float | None = None
    strangeness: float | None = None
    oddness: float | None = None
    farther: float | None = None

    @property
    def answer(self) -> str:
        return self.classes[int(self.probabilities.argmax())]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`answer` and `runner_up` have the largest means over the networks; `probability` is the least that one gives the answer.

    The certainty is `none` where the drawing looks like no digit to the networks on average, `unsure` where they differ, and `odd` where
    they would be sure of what is an unusual digit to them on average.
    """

    answer: str
    runner_up: str
    probability: float
    agree: bool
    certainty: Certainty


def ask(checkpoint: Checkpoint, model: nn.Module, image: NDArray[np.uint8], known: Familiarity | None = None) -> Opinion:
    """Of a prepared image (28, 28) uint8, resized first for a network that was trained at another size; the model is left as found."""
    spec, temperature = checkpoint.spec, checkpoint.metrics.get("temperature")
    logits, features = with_features(model, network_input(image, spec).to(next(model.parameters()).device), maps_of(checkpoint))
    opinion = Opinion(
        network=checkpoint.name,
        classes=spec.classes,
        probabilities=calibration.probabilities(logits[0].numpy(), temperature).astype(np.float32),
        temperature=temperature,
    )
    if known is None:
        return opinion
    (score,) = known.scores(features).tolist()
    facts = {**vars(opinion), "strangeness": score - known.limit, "oddness": score - known.doubt, "farther": known.share_farther(score)}
    return Opinion(**facts)


def network_input(image: NDArray[np.uint8], spec: DataSpec) -> torch.Tensor:
    """A prepared image (28, 28) as a network gets it: normalised (1, 1, H, W)."""
    return normalize(fitted(torch.from_numpy(np.ascontiguousarray(image))[None, None], spec), spec)


def maps_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The layers by which this network compares drawings."""
    return get_entry(checkpoint.model_name).capabilities(checkpoint.config.model, checkpoint.spec).gradcam_layers


def verdict(opinions: Sequence[Opinion]) -> Verdict:
    """Of networks, at least one, that know the same classes."""
    classes, table = opinions[0].classes, np.array([opinion.probabilities for opinion in opinions])  # (networks, classes)
    first, second = np.argsort(-table.mean(0), kind="stable")[:2]
    agree = len(set(table.argmax(1))) == 1
    probability = float(table[:, first].min())
    certainty = _certainty(probability) if agree else "unsure"
    if _above([opinion.strangeness for opinion in opinions]):
        certainty = "none"
    elif certainty != "unsure" and _above([opinion.oddness for opinion in opinions]):
        certainty = "odd"
    return Verdict(answer=classes[first], runner_up=classes[second], probability=probability, agree=agree, certainty=certainty)


def _above(values: Sequence[float | None]) -> bool:
    """On average over those that know."""
    known = [value for value in values if value is not None]
    return bool(known) and sum(known) / len(known) > 0


def _certainty(probability: float) -> Certainty:
    if probability >= SURE:
        return "sure"
    return "likely" if probability >= LIKELY else "unsure"
