"""What computes fastest here, by trying it: steps of every combination, timed in turn."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from resnet_core.config import TrainConfig
from resnet_core.training.device import FORMATS, ComputePlan, candidates, synchronize
from resnet_core.training.native import knows
from resnet_core.training.winograd import share_saved

TRIAL_IMAGES = 64  # enough to tell the combinations apart,
TRIAL_SECONDS = 4.0  # where a step of so many does not take longer
GLANCE_IMAGES = 4  # builds the kernels; and a CPU without bf16 units, which can be a hundred times slower with it, shows that here already
HOPELESS = 4  # times slower than another combination, and longer than a second: not tried any longer,
SLOWER = 1.5  # nor of so much slower ones where a step takes longer than TRIAL_SECONDS
LEAST_SAVED = 1 / 3  # of all multiplications of convolutions: with less to win, Winograd's are not tried
CLOSE = 1.25  # times the seconds of the fastest: another step has to tell
WORTH_IT = 0.95  # of the seconds of direct convolutions: for less, nobody should wonder about other last digits
NATIVE = 1.03  # times the seconds of PyTorch's kernels, at most: a few steps cannot tell the fiftieth part that large networks gain
GUESS_IMAGES, GUESS_STEPS, GUESS_SECONDS = 16, 4, 0.5  # at most, for a first guess of the speed
GUESS_SIDE, GUESS_PARAMETERS = 64, 30_000_000  # pixels and parameters at most: beyond them a step is no quick thing
GAINED = 0.8  # power of the number of cores: two are 1.7 times as fast as one


def plan_compute(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device, train: TrainConfig) -> ComputePlan:
    """Time two steps of each combination, a third one of those that come close to each other, with these our kernels, and
    keep the fastest whose gradients are sound; the model is left as found.

    `images` (B, C, H, W) float and `labels` (B,) stand for a training batch.
    """
    choices = candidates(device, train)
    if len(choices) == 1:
        return choices[0]
    trial = _Trial(model, images, labels, device)
    with _given_back(model):
        if train.convolution == "auto" and _has_little_to_save(model, images, choices):
            choices = [plan for plan in choices if plan.convolution == "direct"]
        if train.kernels == "auto" and any(plan.kernels == "native" for plan in choices) and not knows(model):
            choices = [plan for plan in choices if plan.kernels == "torch"]
        if len(choices) == 1:
            return choices[0]
        usual = [plan for plan in choices if plan.kernels == "torch"] or choices
        first = trial.seconds(usual, GLANCE_IMAGES)
        count = _trial_images(min(first.values(), default=math.inf))
        if count > GLANCE_IMAGES:
            first = trial.seconds(usual, count)
        timings = _faster(first, trial.seconds(usual, count))
        close = [plan for plan in usual if timings.get(plan.name, math.inf) < CLOSE * min(timings.values(), default=math.inf)]
        native = [plan for plan in choices if plan not in usual and replace(plan, kernels="torch") in close]
        if len(close) + len(native) > 1:
            timings = _faster(timings, trial.seconds(close + native, count))
        if native:
            timings = _faster(timings, trial.seconds(native, count))
    tried = [plan for plan in choices if plan.name in timings and not {plan.precision, plan.name} & trial.unsound]
    if not tried:  # a precision was asked for whose gradients are not finite: the training says so at its first step
        return choices[0]
    return replace(
        min(tried, key=lambda plan: timings[plan.name] / _handicap(plan)), timings={plan.name: timings[plan.name] for plan in tried}
    )


def guessed_speed(model: nn.Module, input_shape: tuple[int, int, int], classes: int, cores: int) -> float | None:
    """Images per second of a training step on so many cores of this CPU: a first guess, which takes a fraction of a second.

    From the best of a few steps on noise, in float32. Counted is the processor's time of this thread, which shall be the only one to
    compute: a browser that draws meanwhile takes nothing from that. A training itself tries what is fastest, and its batches are larger.
    None for large images or networks.
    """
    if max(input_shape[1:]) > GUESS_SIDE or sum(p.numel() for p in model.parameters()) > GUESS_PARAMETERS:
        return None
    plan, device = ComputePlan(precision="float32", memory_format="channels_last"), torch.device("cpu")
    source = torch.Generator().manual_seed(0)
    images = torch.randn(GUESS_IMAGES, *input_shape, generator=source)
    labels = torch.randint(classes, (GUESS_IMAGES,), generator=source)
    with _given_back(model):
        _timed_step(model, images[:GLANCE_IMAGES], labels[:GLANCE_IMAGES], device, plan)
        took: list[float] = []
        while not took or (len(took) < GUESS_STEPS and sum(took) < GUESS_SECONDS):
            took.append(_timed_step(model, images, labels, device, plan, time.thread_time)[0])
    return float(GUESS_IMAGES / min(took) * cores**GAINED)


def _faster(once: Mapping[str, float], again: Mapping[str, float]) -> dict[str, float]:
    return {name: min(once.get(name, math.inf), again.get(name, math.inf)) for name in {**once, **again}}


@dataclass(frozen=True)
class _Trial:
    """Steps of several plans in turn: what else the machine does meanwhile slows down all of them. Precisions that are hopeless here, or
    unsound, are tried no more; nor are kernels of ours that are unsound.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    device: torch.device
    hopeless: set[str] = field(default_factory=set)
    unsound: set[str] = field(default_factory=set)

    def seconds(self, plans: Sequence[ComputePlan], count: int) -> dict[str, float]:
        """Of one step on so many images, by the plan's name."""
        found: dict[str, float] = {}
        for plan in plans:
            if {plan.precision, plan.name} & (self.hopeless | self.unsound):
                continue
            took, sound = _timed_step(self.model, self.images[:count], self.labels[:count], self.device, plan)
            if plan.precision != "float32":
                fastest = min(found.values(), default=math.inf)
                if took > max((HOPELESS if took < TRIAL_SECONDS else SLOWER) * fastest, 1.0):
                    self.hopeless.add(plan.precision)
            if not sound and plan.kernels == "native":
                self.unsound.add(plan.name)
            elif not sound and plan.precision != "float32":
                self.unsound.add(plan.precision)
            found[plan.name] = took
        return found


def _trial_images(glance: float) -> int:
    """As many as a step of so many seconds at the glance leaves time for: large images on a slow machine must not keep a person waiting."""
    return max(GLANCE_IMAGES, min(TRIAL_IMAGES, int(GLANCE_IMAGES * TRIAL_SECONDS / glance)))


def _has_little_to_save(model: nn.Module, images: Tensor, choices: Sequence[ComputePlan]) -> bool:
    return any(plan.convolution == "winograd" for plan in choices) and share_saved(model, images[:2]) < LEAST_SAVED


def _handicap(plan: ComputePlan) -> float:
    return (WORTH_IT if plan.convolution == "winograd" else 1.0) * (NATIVE if plan.kernels == "native" else 1.0)


@contextlib.contextmanager
def _given_back(model: nn.Module) -> Iterator[None]:
    """At the end weights, buffers and gradients are as before, and so are the random numbers to come; the memory order is contiguous."""
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)
            model.load_state_dict(kept)
            for parameter, gradient in gradients:
                parameter.grad = gradient


def _timed_step(
    model: nn.Module, images: Tensor, labels: Tensor, device: torch.device, plan: ComputePlan, clock: Callable[[], float] | None = None
) -> tuple[float, bool]:
    """(seconds, whether loss and gradients are finite) of a step without its update."""
    model.to(memory_format=FORMATS[plan.memory_format])
    network = plan.rewritten(model)
    batch = images.to(memory_format=FORMATS[plan.memory_format])
    clock = clock or time.perf_counter
    start = clock()
    for parameter in model.parameters():
        parameter.grad = None
    with plan.computing(device):
        logits = network(batch)
    loss = nn.functional.cross_entropy(logits.float(), labels)
    loss.backward()
    synchronize(device)
    seconds = clock() - start
    norms = torch._foreach_norm([p.grad for p in model.parameters() if p.grad is not None])
    return seconds, bool(torch.isfinite(torch.stack([loss.detach(), *norms])).all())
