"""Is a map worth anything? Three questions with numbers, each about one image and one target.

Does it say how the score changes (infidelity, Yeh et al. 2019, arXiv:1901.09392)? Does it stay when the image hardly changes (maximal
sensitivity, the same paper)? Does the score fall when the pixels it names go, and rise when they come (deletion and insertion, Petsiuk et
al. 2018, arXiv:1806.07421)? The last beside an edge detector and random pixels, which know nothing of the network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.attribution.baselines import baseline_of
from resnet_core.attribution.captum_door import captum
from resnet_core.attribution.computing import (
    BUDGET,
    Attribution,
    Images,
    Network,
    Progress,
    ask,
    cost_of,
    counting,
    open_network,
    settings_of,
    share,
)
from resnet_core.attribution.methods import Method, Passes, get_method, per_pixel
from resnet_core.attribution.ranking import places
from resnet_core.attribution.settings import BASELINES, Baselined
from resnet_core.attribution.traits import Traits
from resnet_core.config import Config, setting
from resnet_core.data.spec import DataSpec, denormalize

MARGIN = 0.05  # of the area between two curves, below which they count as equal
LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class QualitySettings(Config):
    """How much is measured, and with what."""

    squares: int = setting(64, "infidelity: random squares whose removal the map should foretell", minimum=2, maximum=4096)
    side: float = setting(0.25, "infidelity: side of those squares, as a share of the image's", minimum=0.02, maximum=1)
    neighbours: int = setting(10, "sensitivity: images next to this one whose maps are made", minimum=1, maximum=1000)
    radius: float = setting(0.02, "sensitivity: largest change of a pixel, as a share of its range", minimum=0.0001, maximum=1)
    points: int = setting(20, "deletion and insertion: steps from no pixel to all", minimum=2, maximum=1000)
    removed: str = setting("black", "what a removed pixel becomes, for infidelity and deletion", choices=BASELINES)
    random_orders: int = setting(4, "deletion and insertion: random orders that are averaged", minimum=1, maximum=100)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """Probability of the target as pixels go (`deletion`) and as they come back into the blurred image (`insertion`), from no pixel to
    all of them, and the areas below: small for a good deletion, large for a good insertion."""

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion_area: float
    insertion_area: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Quality:
    """`infidelity` as Captum's (normalize=True), in squared logits; `unexplained` is that as a share of how much the score moved: 0 says
    all, 1 nothing. `sensitivity`: largest change of the map, as a share of its size. `verdict` is one of VERDICTS."""

    completeness_error: float | None
    infidelity: float
    unexplained: float
    sensitivity: float
    own: Curves
    edges: Curves
    random: Curves
    verdict: str


VERDICTS: dict[str, str] = {
    "empty": "The map is 0 everywhere, so it says nothing.",
    "better": "The pixels it names matter more to the network than edges or random pixels do.",
    "edges": "An edge detector, which knows nothing of the network, finds pixels that matter as much.",
    "random": "Pixels chosen at random matter as much as those it names.",
}


def quality_cost(method: Method, settings: Any, quality: QualitySettings, spec: DataSpec, traits: Traits) -> Passes:
    """Passes for one image; more where steps are doubled."""
    once = cost_of(method, settings, spec, traits)
    maps = 1 + quality.neighbours
    curves = 2 * (quality.points + 1) * (2 + quality.random_orders)
    return Passes(forward=quality.squares + 1 + maps * once.forward + curves, backward=maps * once.backward)


def assess(
    model: nn.Module,
    images: Images,
    spec: DataSpec,
    attributions: Sequence[Attribution],
    quality: QualitySettings | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    references: Images | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
    name: str | None = None,
) -> tuple[Quality, ...]:
    """One Quality per image and its attribution, all of one method and settings, on a copy of the network.

    Draws come from the seed and the image's own number, `progress(passes, of about)` may raise to stop. Raises what attribute raises.
    """
    chosen = quality if isinstance(quality, QualitySettings) else QualitySettings.from_dict(dict(quality or {}))
    network = open_network(model, spec, budget=budget, name=name)
    inputs, pixels = network.prepared(images)
    others = None if references is None else network.prepared(references)[0]
    first = attributions[0]
    method = get_method(first.method)
    settings = settings_of(method, first.settings)
    network.require(method)
    total = len(inputs) * quality_cost(method, settings, chosen, spec, network.traits).forward
    found = []
    with counting(network.model, progress, total):
        for number, attribution in enumerate(attributions):
            one = slice(number, number + 1)
            about = _About(
                network=network, method=method, settings=settings, quality=chosen, inputs=inputs[one], pixels=pixels[one],
                target=torch.tensor([attribution.target], device=inputs.device), references=others, seed=seed,
            )  # fmt: skip
            found.append(_quality(about, attribution))
    return tuple(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class _About:
    """One image and everything that its map came from."""

    network: Network
    method: Method
    settings: Any
    quality: QualitySettings
    inputs: Tensor
    pixels: Tensor
    target: Tensor
    references: Tensor | None
    seed: int

    def pixel_range(self) -> Tensor:
        """What 1 in pixels is in normalised units, (1, C, 1, 1)."""
        return 1 / torch.tensor(self.network.spec.std, device=self.inputs.device).view(1, -1, 1, 1)

    def removed(self) -> Tensor:
        return baseline_of(self.pixels, Baselined(baseline=self.quality.removed), self.network.spec)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def _quality(about: _About, attribution: Attribution) -> Quality:
    values = torch.from_numpy(attribution.map).to(about.inputs.device).unsqueeze(0)
    infidelity, moved = _infidelity(about, per_pixel(values, about.pixels, about.settings))
    generator = np.random.default_rng(about.seed)
    size = about.inputs.shape[-2:]
    own = _curves(about, places(attribution.map))
    edges = _curves(about, edge_map(about.pixels)[0].cpu().numpy())
    drawn = [_curves(about, generator.random(size)) for _ in range(about.quality.random_orders)]
    chance = _mean_curves(drawn)
    empty = not bool(values.any())
    return Quality(
        completeness_error=attribution.completeness_error,
        infidelity=infidelity,
        unexplained=share(infidelity, moved),
        sensitivity=_sensitivity(about),
        own=own,
        edges=edges,
        random=chance,
        verdict="empty" if empty else _verdict(own, edges, chance),
    )


def _verdict(own: Curves, edges: Curves, chance: Curves) -> str:
    """By the gap between insertion and deletion, which a map that names the right pixels makes wide."""
    gap, edge_gap, chance_gap = (curves.insertion_area - curves.deletion_area for curves in (own, edges, chance))
    if gap < chance_gap + MARGIN:
        return "random"
    return "better" if gap > edge_gap + MARGIN else "edges"


def _infidelity(about: _About, values: Tensor) -> tuple[float, float]:
    """Captum's, for this map and for one of zeros, which is how much the score moved.

    Squares are removed. A map of contributions foretells the sum of what they held; a map of slopes its sum times the pixels' change.
    """
    said: list[Tensor] = []
    removed = about.removed()

    def ask_network(inputs: Tensor) -> Tensor:
        said.append(about.network.model(inputs))
        return said[-1]

    def measure(forward: Callable[[Tensor], Tensor], per_channel: Tensor) -> float:
        generator = about.generator()

        def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
            gone = _squares(len(inputs), inputs.shape[-2:], about.quality.side, generator).to(inputs.device)
            changed = torch.where(gone, removed, inputs)
            moved = inputs - changed if about.method.slopes else gone.to(inputs).expand_as(inputs)
            return moved, changed

        found = captum("metrics").infidelity(
            forward, perturb, about.inputs, per_channel.expand_as(about.inputs), target=about.target, normalize=True,
            n_perturb_samples=about.quality.squares, max_examples_per_batch=min(about.network.rows, about.quality.squares),
        )  # fmt: skip
        return float(found[0])

    own = measure(ask_network, values)
    answers = iter(said)  # the same images in the same order, so the network need not be asked again
    return own, measure(lambda inputs: next(answers), torch.zeros_like(values))


def _squares(count: int, size: Sequence[int], side: float, generator: torch.Generator) -> Tensor:
    """(count, 1, H, W), True inside of a square at a random place that reaches over no border."""
    height, width = size
    edge = max(1, round(side * min(height, width)))
    top, left = (torch.randint(whole - edge + 1, (count, 1, 1), generator=generator) for whole in (height, width))
    y, x = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    return ((y >= top) & (y < top + edge) & (x >= left) & (x < left + edge)).unsqueeze(1)


def _sensitivity(about: _About) -> float:
    """Captum's, with changes drawn evenly from a box around the image."""
    generator, scale = about.generator(), about.pixel_range()

    def perturb(inputs: Tensor, perturb_radius: float) -> Tensor:
        """Of all neighbours at once; Captum 0.9 hands over a bare tensor, not a tuple."""
        return inputs + (2 * torch.rand(inputs.shape, generator=generator).to(inputs) - 1) * perturb_radius * scale

    def explain(inputs: Tensor | tuple[Tensor, ...], target: Tensor) -> tuple[Tensor]:
        """The image comes as a tuple, its neighbours as a tensor. A tuple goes back: of a bare tensor Captum 0.9 takes every channel for
        an explanation of its own."""
        images = (inputs if isinstance(inputs, Tensor) else inputs[0]).detach()
        targets = about.target.expand(len(images))
        answers = ask(
            about.network, about.method, about.settings, images, denormalize(images, about.network.spec), targets, about.references,
            about.seed,
        )  # fmt: skip
        return (torch.cat([answer.maps for _, answer in answers]).contiguous(),)

    found = captum("metrics").sensitivity_max(
        explain,
        about.inputs,
        perturb_func=perturb,
        perturb_radius=about.quality.radius,
        n_perturb_samples=about.quality.neighbours,
        max_examples_per_batch=min(about.network.rows, about.quality.neighbours),
        target=about.target,
    )
    return float(found[0])


def edge_map(pixels: Tensor) -> Tensor:
    """Size of the Laplacian (B, H, W) of the mean over channels of (B, C, H, W)."""
    kernel = torch.tensor(LAPLACE, dtype=pixels.dtype, device=pixels.device).view(1, 1, 3, 3)
    grey = functional.pad(pixels.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(grey, kernel).abs().squeeze(1)


def _curves(about: _About, values: NDArray[np.floating]) -> Curves:
    """Pixels from the largest value of (H, W) to the smallest; of equal ones the first."""
    order = torch.from_numpy(np.argsort(-values, axis=None, kind="stable")).to(about.inputs.device)
    blurry = baseline_of(about.pixels, Baselined(baseline="blurred"), about.network.spec)
    deletion = _probabilities(about, order, about.inputs, about.removed())
    insertion = _probabilities(about, order, blurry, about.inputs)
    return Curves(
        deletion=deletion,
        insertion=insertion,
        deletion_area=float(np.trapezoid(deletion, dx=1 / about.quality.points)),
        insertion_area=float(np.trapezoid(insertion, dx=1 / about.quality.points)),
    )


@torch.no_grad()
def _probabilities(about: _About, order: Tensor, before: Tensor, after: Tensor) -> NDArray[np.float64]:
    """Of the target, while the pixels change from `before` to `after` in this order."""
    counts = [round(len(order) * point / about.quality.points) for point in range(about.quality.points + 1)]
    places_first = torch.argsort(order)  # the rank of each pixel
    changed = torch.stack([places_first < count for count in counts]).view(len(counts), 1, *before.shape[-2:])
    scores = torch.cat([about.network.scores(torch.where(some, after, before)) for some in changed.split(about.network.rows)])
    probabilities: NDArray[np.float64] = scores.double().softmax(1)[:, about.target[0]].cpu().numpy()
    return probabilities


def _mean_curves(many: Sequence[Curves]) -> Curves:
    return Curves(
        deletion=np.mean([one.deletion for one in many], axis=0),
        insertion=np.mean([one.insertion for one in many], axis=0),
        deletion_area=float(np.mean([one.deletion_area for one in many])),
        insertion_area=float(np.mean([one.insertion_area for one in many])),
    )
