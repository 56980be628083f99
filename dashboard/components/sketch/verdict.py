"""What several networks say of one image together: one answer, and how sure in a word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

SURE, LIKELY = 0.95, 0.70  # least probability of the answer, by the network that gives it least
Certainty = Literal["sure", "likely", "unsure"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`answer` and `runner_up` have the largest means over the networks; `probability` is the least that one gives the answer."""

    answer: str
    runner_up: str
    probability: float
    agree: bool
    certainty: Certainty


def verdict(classes: Sequence[str], probabilities: Mapping[str, Sequence[float]]) -> Verdict:
    """`probabilities` by network, at least one, each in the order of `classes`. Networks that differ are never sure."""
    table = np.array(list(probabilities.values()))  # (networks, classes)
    first, second = np.argsort(-table.mean(0), kind="stable")[:2]
    agree = len(set(table.argmax(1))) == 1
    probability = float(table[:, first].min())
    return Verdict(
        answer=classes[first],
        runner_up=classes[second],
        probability=probability,
        agree=agree,
        certainty=_certainty(probability) if agree else "unsure",
    )


def _certainty(probability: float) -> Certainty:
    if probability >= SURE:
        return "sure"
    return "likely" if probability >= LIKELY else "unsure"
