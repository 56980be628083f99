"""attribute(): a method asked about images, on a copy of the network, in batches that fit into memory, the same for the same request.

A copy shares the weights and has hooks and modes of its own, so the network is left as found whatever happens, and two threads do not
meet. Methods that draw random numbers are asked image by image, each from the same seed, so that a map does not depend on the other
images of its batch; they wait for each other, since Captum draws from the process's own generators.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.attribution.baselines import baseline_of
from resnet_core.attribution.borrowing import borrowed
from resnet_core.attribution.captum_door import captum
from resnet_core.attribution.layers import EveryLayer
from resnet_core.attribution.methods import Call, Method, Passes, Question, get_method, place_of_map, total_of
from resnet_core.attribution.settings import Baselined, IntegratedGradientsSettings
from resnet_core.attribution.support import why_not
from resnet_core.attribution.traits import Traits, traits_of
from resnet_core.config import Config
from resnet_core.data.spec import DataSpec, normalize
from resnet_core.errors import UserError
from resnet_core.models import name_of
from resnet_core.randomness import drawing_from

BUDGET = 512 * 2**20  # bytes of activations that may live at once
MOST_ROWS = 64  # images in one pass: more are no faster on a CPU, whose cache they leave
COPIES = 4  # of each activation: itself, its gradient, and what hooks keep
Images = Tensor | NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerMap:
    """What a layer's map looks like before it is enlarged, (h, w), and its sum."""

    name: str
    map: NDArray[np.float32]
    total: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """One image's map (C, H, W) for the score (logit) of `target`, whose probability the network puts at `probability`.

    The map is about the normalised input; a method that speaks of places alone gives one channel. `total` is what it adds up to, and
    `completeness_delta` that sum minus f(image) - f(baseline), `completeness_error` its size as a share of that difference: None for a
    method that promises no sum. `steps` are those that were needed. `strip`: every layer of a layer method.
    """

    method: str
    settings: Config
    seed: int
    target: int
    probability: float
    score: float
    map: NDArray[np.float32]
    total: float
    completeness_delta: float | None
    completeness_error: float | None
    steps: int | None
    strip: tuple[LayerMap, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """About a batch: maps (B, C, H, W), what they add up to, what they should add up to, raw maps of the layers."""

    maps: Tensor
    totals: Tensor
    expected: Tensor | None
    layers: dict[str, Tensor]
    steps: Tensor | None


def attribute(
    model: nn.Module,
    images: Images,
    spec: DataSpec,
    method: str,
    settings: Config | Mapping[str, Any] | None = None,
    *,
    target: int | Sequence[int] | None = None,
    seed: int = 0,
    references: Images | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
    name: str | None = None,
) -> tuple[Attribution, ...]:
    """One Attribution per image (N, C, H, W), given as uint8 or as float in [0, 1].

    `target`: a class, one per image, or None for what the network says itself. `references`: other images, for the methods that compare
    with them (black, mean and blurred stand in). `budget` bounds the memory of activations in bytes. `progress(passes, of about)` is
    called at every forward pass and may raise to stop. The model is left as found. Raises UserError: unknown_name, what settings raise,
    image_shape, target_out_of_range, and why_not's reason for a method that is not sound for this network (called `name`).
    """
    chosen = get_method(method)
    options = settings_of(chosen, settings)
    network = open_network(model, spec, budget=budget, name=name)
    network.require(chosen)
    inputs, pixels = network.prepared(images)
    scores = network.scores(inputs)
    targets = targets_of(target, scores, network.name)
    others = None if references is None else network.prepared(references)[0]
    total = len(inputs) * cost_of(chosen, options, spec, network.traits).forward
    found: list[Attribution] = []
    with counting(network.model, progress, total):
        for part, answer in ask(network, chosen, options, inputs, pixels, targets, others, seed):
            found += _attributions(chosen, options, targets[part], scores[part], answer, seed)
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A borrowed network, what it is made of, and how many images go through it at a time."""

    model: nn.Module
    spec: DataSpec
    traits: Traits
    rows: int
    name: str

    def require(self, method: Method) -> None:
        """Raise why_not's reason unless the method is sound here."""
        if (error := why_not(method, self.traits, self.name)) is not None:
            raise error

    def prepared(self, images: Images) -> tuple[Tensor, Tensor]:
        """(normalised, pixels in [0, 1]) on the network's device. Raises image_shape."""
        given = torch.as_tensor(images)
        expected = (self.spec.channels, self.spec.height, self.spec.width)
        if given.dim() != 4 or tuple(given.shape[1:]) != expected or not len(given):
            raise UserError("image_shape", need="x".join(map(str, expected)), have="x".join(map(str, given.shape[1:])) or "none")
        pixels = given.to(next(self.model.parameters()).device, torch.float32) / (255 if given.dtype == torch.uint8 else 1)
        return normalize(pixels, self.spec), pixels

    @torch.no_grad()
    def scores(self, inputs: Tensor) -> Tensor:
        """Logits (N, K)."""
        return torch.cat([self.model(part) for part in inputs.split(self.rows)])

    def scores_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The logit of each image's own target, (N,)."""
        return self.scores(inputs).gather(1, targets.unsqueeze(1)).squeeze(1)


def open_network(model: nn.Module, spec: DataSpec, *, budget: int = BUDGET, name: str | None = None) -> Network:
    """Looks at the network with two passes of one black image."""
    own = borrowed(model)
    return Network(model=own, spec=spec, traits=traits_of(own, spec), rows=rows_within(own, spec, budget), name=name or name_of(model))


def settings_of(method: Method, settings: Config | Mapping[str, Any] | None) -> Config:
    """Settings of the method's own kind: given ones, its defaults, or some of them by name (as text, too)."""
    if isinstance(settings, method.settings):
        return settings
    values = settings.to_dict() if isinstance(settings, Config) else dict(settings or {})
    return method.settings.from_dict(values)


def cost_of(method: Method, settings: Any, spec: DataSpec, traits: Traits) -> Passes:
    """Passes that one image costs, with SmoothGrad's copies and one more for its score."""
    once = method.cost(settings, spec, traits)
    copies = settings.smooth or 1
    return Passes(forward=1 + copies * once.forward, backward=copies * once.backward)


@torch.no_grad()
def rows_within(model: nn.Module, spec: DataSpec, budget: int) -> int:
    """Images (at least one) whose activations fit into the budget together, from one pass of one image."""
    elements, image = 0, torch.zeros(1, spec.channels, spec.height, spec.width, device=next(model.parameters()).device)

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal elements
        elements += output.numel() if isinstance(output, Tensor) else 0

    handles = [module.register_forward_hook(count) for module in model.modules() if not any(True for _ in module.children())]
    try:
        model(image)
    finally:
        for handle in handles:
            handle.remove()
    return max(1, min(MOST_ROWS, budget // max(1, elements * image.element_size() * COPIES)))


def targets_of(target: int | Sequence[int] | None, scores: Tensor, name: str) -> Tensor:
    """Class of each image, (N,). Raises target_out_of_range."""
    if target is None:
        return scores.argmax(1)
    targets = torch.as_tensor(target, device=scores.device).expand(len(scores))
    classes = scores.shape[1]
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise UserError("target_out_of_range", field="target", value=int(wrong[0]), name=name, last=classes - 1)
    return targets.long()


def _references(known: Tensor | None, pixels: Tensor, settings: Config, spec: DataSpec) -> Tensor:
    if known is not None:
        return known[: getattr(settings, "references", len(known))]
    stand_ins = [baseline_of(pixels[:1], Baselined(baseline=kind), spec) for kind in ("black", "mean", "blurred")]
    return torch.cat(stand_ins)


def ask(
    network: Network, method: Method, settings: Any, inputs: Tensor, pixels: Tensor, targets: Tensor, references: Tensor | None, seed: int
) -> Iterator[tuple[slice, Answer]]:
    """Which images, and the method's answer about them."""
    size = 1 if method.random or settings.smooth else network.rows
    for start in range(0, len(inputs), size):
        part = slice(start, start + size)
        question = Question(
            model=network.model, pixels=pixels[part], inputs=inputs[part], targets=targets[part], spec=network.spec, traits=network.traits,
            settings=settings, references=_references(references, pixels[part], settings, network.spec), rows=network.rows,
        )  # fmt: skip
        yield part, _answer(network, method, question, seed)


def counting(model: nn.Module, progress: Progress | None, total: int) -> contextlib.AbstractContextManager[Any]:
    """While open, progress hears of every pass through the model (a copy), and may raise to stop."""
    if progress is None:
        return contextlib.nullcontext()
    done = 0

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal done
        first = inputs[0][0] if isinstance(inputs[0], tuple) else inputs[0]
        done += len(first) * (2 if isinstance(inputs[0], tuple) else 1)  # DeepLift hands in images and baselines as a pair
        progress(done, max(done, total))

    return _removed(model.register_forward_pre_hook(hook))


@contextlib.contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _answer(network: Network, method: Method, question: Question, seed: int) -> Answer:
    if isinstance(question.settings, IntegratedGradientsSettings) and not question.settings.smooth:
        return _doubled(network, method, question)
    with drawing_from(seed) if method.random or question.settings.smooth else contextlib.nullcontext():
        call = method.call(question)
        return _read(network, method, question, call, _ask(call, question))


def _ask(call: Call, question: Question) -> Tensor:
    """What Captum says, through its NoiseTunnel where the settings ask for noise."""
    settings = question.settings
    inputs = question.inputs.detach().clone().requires_grad_()
    if not settings.smooth:
        return call.captum.attribute(inputs, target=question.targets, **call.arguments).detach()  # type: ignore[no-any-return]
    tunnel = captum("attr").NoiseTunnel(_Bound(call))
    return tunnel.attribute(  # type: ignore[no-any-return]
        inputs.detach(),
        nt_type=settings.smooth_kind,
        nt_samples=settings.smooth,
        nt_samples_batch_size=max(1, min(settings.smooth, question.rows // call.together)),
        stdevs=question.noise(settings.smooth_noise),
        target=question.targets,
    ).detach()


class _Bound:
    """A Captum method with its baselines and masks filled in, as NoiseTunnel wants to have it: it would repeat a set of references."""

    def __init__(self, call: Call) -> None:
        self.forward_func, self.multiplies_by_inputs = call.captum.forward_func, call.captum.multiplies_by_inputs
        ask = call.captum.attribute

        def attribute(self: "_Bound", inputs: Tensor, target: Tensor) -> Tensor:
            return ask(inputs.detach().requires_grad_(), target=target, **call.arguments)  # type: ignore[no-any-return]

        attribute.__wrapped__ = attribute  # type: ignore[attr-defined]
        self.attribute = attribute

    def has_convergence_delta(self) -> bool:
        return False


def _read(network: Network, method: Method, question: Question, call: Call, found: Tensor, steps: Tensor | None = None) -> Answer:
    """From what Captum said to one map per image: the chosen layer's, enlarged; one channel where all of them say the same."""
    settings = question.settings
    expected = None if settings.smooth else _expected(network, method, question)
    if not isinstance(call.captum, EveryLayer):
        maps = found[:, :1] if method.places else found
        return Answer(maps=maps, totals=total_of(found, question, method), expected=expected, layers={}, steps=steps)
    layers = call.captum.split(found)
    place = layers[place_of_map(settings.layer, tuple(layers))]
    options = {} if settings.interpolation == "nearest" else {"align_corners": False}
    maps = functional.interpolate(place, question.inputs.shape[-2:], mode=settings.interpolation, **options)
    shown = {name: layer.squeeze(1) for name, layer in layers.items()}
    return Answer(maps=maps, totals=place.flatten(1).sum(1), expected=expected, layers=shown, steps=steps)


@torch.no_grad()
def _expected(network: Network, method: Method, question: Question) -> Tensor | None:
    """(B,): f(x) minus f of what the method compares with."""
    if method.complete is None:
        return None
    scores = network.scores_of(question.inputs, question.targets)
    if method.complete == "references":
        return scores - network.scores(question.references)[:, question.targets].mean(0)
    return scores - network.scores_of(question.baseline(), question.targets)


def _doubled(network: Network, method: Method, question: Question) -> Answer:
    """Integrated Gradients with twice the steps for every image whose sum still misses the difference by more than the tolerance."""
    settings: IntegratedGradientsSettings = question.settings
    expected = _expected(network, method, question)
    assert expected is not None
    maps = torch.zeros_like(question.inputs)
    taken = torch.zeros(len(maps), dtype=torch.long, device=maps.device)
    open_ones, steps = torch.arange(len(maps), device=maps.device), settings.steps
    while len(open_ones):
        some = replace(
            question, pixels=question.pixels[open_ones], inputs=question.inputs[open_ones], targets=question.targets[open_ones],
            settings=replace(settings, steps=steps),
        )  # fmt: skip
        call = method.call(some)
        maps[open_ones] = _ask(call, some)
        taken[open_ones] = steps
        missed = (maps[open_ones].flatten(1).sum(1) - expected[open_ones]).abs() > settings.tolerance * expected[open_ones].abs()
        open_ones, steps = open_ones[missed], 2 * steps
        if steps > settings.max_steps:
            break
    return _read(network, method, question, call, maps, taken)


def _attributions(method: Method, settings: Config, targets: Tensor, scores: Tensor, answer: Answer, seed: int) -> list[Attribution]:
    probabilities = scores.softmax(1)
    found = []
    for number, target in enumerate(targets.tolist()):
        total = float(answer.totals[number])
        delta = None if answer.expected is None else total - float(answer.expected[number])
        found.append(
            Attribution(
                method=method.name,
                settings=settings,
                seed=seed,
                target=target,
                probability=float(probabilities[number, target]),
                score=float(scores[number, target]),
                map=answer.maps[number].float().cpu().numpy(),
                total=total,
                completeness_delta=delta,
                completeness_error=None if delta is None or answer.expected is None else share(delta, float(answer.expected[number])),
                steps=int(answer.steps[number]) if answer.steps is not None else getattr(settings, "steps", None),
                strip=tuple(
                    LayerMap(name=name, map=layer[number].float().cpu().numpy(), total=float(layer[number].sum()))
                    for name, layer in answer.layers.items()
                ),
            )
        )
    return found


def share(delta: float, expected: float) -> float:
    """|delta| / |expected|; 0 / 0 is 0."""
    if delta == 0:
        return 0.0
    return abs(delta) / abs(expected) if expected else float("inf")
