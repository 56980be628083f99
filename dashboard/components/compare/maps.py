"""Attribution maps of the pair, asked once per checkpoint, image, method and settings; what they will cost."""

import base64
import io
import json
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from PIL import Image

from dashboard.components.background_job import Progress, Work
from dashboard.components.compare.data import Answered, State
from dashboard.components.compare.pair import Pair
from dashboard.components.names import network_label
from dashboard.loading import file_state, idle_cores, leave_cores_to_trainings, settled_model
from dashboard.measuring import pixels_of
from dashboard.memory import tidied
from resnet_core.attribution import METHODS, Attribution, Passes, Traits, attribute, cost_of, get_method, offered, traits_of
from resnet_core.config import Config
from resnet_core.data import some_images
from resnet_core.errors import UserError
from resnet_core.runs import Checkpoint

REFERENCES = 64  # other images of the split, for the methods that compare with them
LINKED = 336  # px, side of an image as sent to the browser
BACKWARD = 2.0  # what a backward pass costs, in forward passes
DEFAULT_METHODS = ("saliency", "integrated_gradients", "layer_grad_cam")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One map of one network: what is asked about which class."""

    method: str
    settings: Config
    target: int

    @property
    def identity(self) -> str:
        """What caches are keyed by."""
        return json.dumps([self.method, self.settings.to_dict(), self.target], sort_keys=True)

    @property
    def cheapest(self) -> Config:
        """The settings without doubled steps: most images need none, so costs are said for them."""
        values = self.settings.to_dict()
        return self.settings if "max_steps" not in values else self.settings.from_dict({**values, "max_steps": values["steps"]})


def traits(checkpoint: Checkpoint) -> Traits:
    return _traits(file_state(checkpoint), checkpoint)


@st.cache_data(max_entries=64, show_spinner=False)
def _traits(state: State, _checkpoint: Checkpoint) -> Traits:
    return traits_of(settled_model(_checkpoint), _checkpoint.spec)


def sound_methods(pair: Pair) -> tuple[list[str], dict[str, list[UserError]]]:
    """Methods that both networks take, and of the others why not."""
    reasons: dict[str, list[UserError]] = {name: [] for name in METHODS}
    for checkpoint in pair.checkpoints:
        for name, error in offered(traits(checkpoint), network_label(checkpoint.model_name)).items():
            if error is not None and str(error) not in map(str, reasons[name]):
                reasons[name].append(error)
    return [name for name in METHODS if not reasons[name]], {name: errors for name, errors in reasons.items() if errors}


def references_of(pair: Pair, place: int) -> torch.Tensor:
    images = pair.images(place)
    return images.images[some_images(len(images), REFERENCES, 0)]


def image_of(pair: Pair, place: int) -> torch.Tensor:
    """The chosen image, uint8 (1, C, H, W)."""
    return pair.images(place).images[pair.image.index : pair.image.index + 1]


def image_link(pair: Pair) -> str:
    """The chosen image as a PNG inside a link, each pixel a square: browsers blur what they enlarge."""
    image = Image.fromarray(pixels_of(image_of(pair, 0)[0]))
    factor = max(1, LINKED // max(image.size))
    buffer = io.BytesIO()
    image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def map_of(pair: Pair, place: int, request: Request) -> Attribution:
    """The map of A (0) or B (1)."""
    return _map(pair.states[place], pair.states, str(pair.image), request.identity, place, pair, request)


@st.cache_data(max_entries=96, show_spinner=False)
@tidied
def _map(state: State, cut: tuple[State, State], image: str, identity: str, place: int, _pair: Pair, _request: Request) -> Attribution:
    with idle_cores():
        return map_work(_pair, place, _request)(lambda done, total: None)


def map_work(pair: Pair, place: int, request: Request) -> Work:
    """The same in a thread: what it works with is fetched at once."""
    leave_cores_to_trainings()
    checkpoint, images, others = pair.checkpoints[place], image_of(pair, place), references_of(pair, place)
    model = settled_model(checkpoint)

    def work(progress: Progress) -> Attribution:
        (found,) = attribute(
            model,
            images,
            checkpoint.spec,
            request.method,
            request.settings,
            target=request.target,
            references=others,
            progress=progress,
            name=network_label(checkpoint.model_name),
        )
        return found

    return work


def pair_work(pair: Pair, request: Request) -> Work:
    """Both maps, A's first."""
    works = [map_work(pair, place, request) for place in (0, 1)]

    def work(progress: Progress) -> tuple[Attribution, Attribution]:
        first = works[0](lambda done, total: progress(done, 2 * total))
        return first, works[1](lambda done, total: progress(total + done, 2 * total))

    return work


def seconds_of(pair: Pair, answered: Answered, request: Request) -> float:
    """About what both maps cost."""
    method, total = get_method(request.method), 0.0
    for place, checkpoint in enumerate(pair.checkpoints):
        total += seconds_of_passes(answered, place, cost_of(method, request.cheapest, checkpoint.spec, traits(checkpoint)))
    return total


def seconds_of_passes(answered: Answered, place: int, passes: Passes) -> float:
    """From the speed at which A (0) or B (1) answered."""
    answers = (answered.answers.a, answered.answers.b)[place]
    return (passes.forward + BACKWARD * passes.backward) * answers.expected_seconds_per_1000 / 1000


def in_one(found: NDArray[np.floating], channel: int | None) -> NDArray[np.floating]:
    """(C, H, W) -> (H, W): the sum over channels, or one of them where the map has several."""
    if channel is None or len(found) == 1:
        return found.sum(0)
    return found[channel]
