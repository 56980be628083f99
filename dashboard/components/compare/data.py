"""What the page measures on a pair, each kept by files, data and number of images."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from dashboard.components.background_job import Progress, Work, finished_job
from dashboard.components.compare.pair import Pair
from dashboard.loading import file_state, idle_cores, settled_model
from dashboard.memory import tidied
from resnet_core.comparison import Answers, Conditions, Cost, PairAnswers, answer, conditions, cost
from resnet_core.data import Split, normalize, some_images
from resnet_core.runs import Checkpoint

AT_ONCE = 200  # images that both networks answer while the page waits: a third of a second; all of them cost a click
State = tuple[str, float]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Both networks' answers to some images of the split: `indices` are their numbers in it, `available` how many it has."""

    answers: PairAnswers
    indices: NDArray[np.int64]
    available: int

    @property
    def is_whole(self) -> bool:
        return len(self.indices) == self.available


def answered(pair: Pair) -> Answered:
    """To the whole split where that was measured already, else to AT_ONCE images of it."""
    whole = finished_job(*whole_identity(pair))
    return whole if whole is not None else _answered(pair.states, pair.data, AT_ONCE, pair)


def whole_identity(pair: Pair) -> tuple[object, ...]:
    return ("compare_answers", *pair.states, *pair.data)


def whole_work(pair: Pair) -> Work:
    """All images, with what the page has open: models of its own, shared images."""
    models, splits = [settled_model(c) for c in pair.checkpoints], [pair.images(place) for place in (0, 1)]
    specs, total = [c.spec for c in pair.checkpoints], len(splits[0])

    def work(progress: Progress) -> Answered:
        found = [
            answer(model, split, spec, progress=lambda done, of, before=before: progress(before + done, 2 * total))  # type: ignore[misc]
            for model, split, spec, before in zip(models, splits, specs, (0, total), strict=True)
        ]
        return Answered(answers=PairAnswers(a=found[0], b=found[1]), indices=np.arange(total), available=total)

    return work


@st.cache_data(max_entries=8, show_spinner=False)
@tidied
def _answered(states: tuple[State, State], data: tuple[str, str], count: int, _pair: Pair) -> Answered:
    available = len(_pair.images(0))
    indices = some_images(available, count, 0)
    with idle_cores():
        found = [_answer(checkpoint, _pair.images(place).take(indices)) for place, checkpoint in enumerate(_pair.checkpoints)]
    return Answered(answers=PairAnswers(a=found[0], b=found[1]), indices=indices.numpy(), available=available)


def _answer(checkpoint: Checkpoint, images: Split) -> Answers:
    return answer(settled_model(checkpoint), images, checkpoint.spec)


def cost_of(checkpoint: Checkpoint) -> Cost:
    return _cost(file_state(checkpoint), checkpoint)


@st.cache_data(max_entries=64, show_spinner=False)
def _cost(state: State, _checkpoint: Checkpoint) -> Cost:
    return cost(_checkpoint)


def conditions_of(pair: Pair) -> Conditions:
    return _conditions(pair.states, pair)


@st.cache_data(max_entries=64, show_spinner=False)
def _conditions(states: tuple[State, State], _pair: Pair) -> Conditions:
    return conditions(_pair.a, _pair.b)


def pair_probabilities(pair: Pair, place: int) -> NDArray[np.float32]:
    """(K,) of the chosen image, by A (0) or B (1)."""
    return _pair_probabilities(pair.states, place, str(pair.image), pair)


@st.cache_data(max_entries=256, show_spinner=False)
def _pair_probabilities(states: tuple[State, State], place: int, image: str, _pair: Pair) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits = settled_model(_pair.checkpoints[place])(pair_input(_pair, place))
    return logits.float().softmax(1)[0].numpy()


def pair_input(pair: Pair, place: int) -> torch.Tensor:
    """The chosen image as A (0) or B (1) gets it: normalised (1, C, H, W)."""
    index = pair.image.index
    return normalize(pair.images(place).images[index : index + 1], pair.checkpoints[place].spec)
