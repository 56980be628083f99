"""Whether a drawing looks like a digit at all to a network: softmax must name one of ten, also for a scribble.

Layer by layer, from shallow to deep, the drawing's pooled features are compared by their direction with those of real digits: the distance
to the nearest one (Sun et al. 2022, Out-of-distribution Detection with Deep Nearest Neighbors, arXiv:2204.06507), here to the nearest of some
typical ones of every class. The distances of all layers, each in units of its own spread, are added up: shallow layers notice what
is no pen stroke at all, deep ones what has the strokes of no digit. A drawing farther away than all but ALARMS of real digits looks like none.

Reference and threshold come from mnist-mini's training images, half of them as they are and half with strokes thicker, thinner, slanted
and turned as people draw, so the rule is the same for every network that knows the ten digits, whatever it was trained on.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.config import AugmentConfig
from resnet_core.data import DataSpec, augment, data_root, normalize
from resnet_core.data.array_cache import FOLDER, ArrayCache
from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.inspection.recording import hooked, untouched
from resnet_core.models import get_entry
from resnet_core.runs import Checkpoint

ALARMS, DOUBTS = 0.012, 0.05  # of real digits are taken for none, and for unusual ones
REFERENCES, CALIBRATION = 2000, 1000  # images of mnist-mini, each used as it is and changed
TYPICAL = 30  # centres per class and layer
ROUNDS = 12  # of k-means
BATCH = 250
PEOPLE = AugmentConfig(thickness=1.2, rotation=10.0, shear=10.0, scale=0.1)  # what pens and hands differ in
DIGITS = tuple("0123456789")
VERSION = 1  # of the rule: what was learnt by another one is learnt again

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Familiarity:
    """What one network knows of digits. `typical` (centres, C) of length 1 by layer, `spread` its usual distance and that one's standard
    deviation, `usual` the sorted scores of real digits."""

    typical: Mapping[str, Floats]
    spread: Mapping[str, tuple[float, float]]
    usual: Floats

    def scores(self, features: Mapping[str, Tensor]) -> Floats:
        """(B,): the higher, the less it looks like a digit."""
        total = torch.zeros(len(next(iter(features.values()))))
        for layer, values in features.items():
            mean, deviation = self.spread[layer]
            total += (_distances(values, torch.from_numpy(self.typical[layer])) - mean) / deviation
        result: Floats = total.numpy()
        return result

    @property
    def limit(self) -> float:
        """The score above which a drawing looks like no digit."""
        return float(np.quantile(self.usual, 1 - ALARMS))

    @property
    def doubt(self) -> float:
        """The score above which a drawing is an unusual digit, if it is one."""
        return float(np.quantile(self.usual, 1 - DOUBTS))

    def share_farther(self, score: float) -> float:
        """Of real digits, how many look even less like one."""
        return float((self.usual >= score).mean())


def knows_digits(spec: DataSpec) -> bool:
    """Only of such networks can it be asked."""
    return spec.channels == 1 and spec.classes == DIGITS


def compared_layers(model: nn.Module, maps: tuple[str, ...]) -> dict[str, nn.Module]:
    """The layers that give maps, or the last linear one (its input) in a network without."""
    if maps:
        return {name: model.get_submodule(name) for name in maps}
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return dict(linear[-1:])


def pooled(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """(B, C): a layer's maps averaged over their places; of a linear layer, what goes into it."""
    values = inputs[0] if isinstance(module, nn.Linear) else output
    return values.flatten(2).mean(2) if values.ndim > 2 else values


@torch.inference_mode()
def with_features(model: nn.Module, inputs: Tensor, maps: tuple[str, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits (B, K) and the features (B, C) of every compared layer, in one pass; the model is left as found."""
    layers = compared_layers(model, maps)
    seen: dict[str, Tensor] = {}

    def see(name: str, entered: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = pooled(layers[name], entered, output).float().cpu()

    with untouched(model), hooked(layers, see):
        logits = model(inputs)
    return logits.float().cpu(), seen


def learn(model: nn.Module, spec: DataSpec, maps: tuple[str, ...], progress: Progress | None = None) -> Familiarity:
    """What this network knows of digits, from mnist-mini's training images."""
    images, labels = reference_images()
    parts: dict[str, list[Tensor]] = {}
    device = next(model.parameters()).device
    for start in range(0, len(images), BATCH):
        pixels = fitted(images[start : start + BATCH], spec).to(device)
        for layer, values in with_features(model, normalize(pixels, spec), maps)[1].items():
            parts.setdefault(layer, []).append(values)
        if progress is not None:
            progress(start + len(pixels), len(images))
    features = {layer: torch.cat(values) for layer, values in parts.items()}
    known = 2 * REFERENCES
    typical = {layer: typical_directions(values[:known], labels[:known]) for layer, values in features.items()}
    rest = {layer: _distances(values[known:], typical[layer]) for layer, values in features.items()}
    spread = {layer: (float(values.mean()), float(values.std()) or 1.0) for layer, values in rest.items()}
    total = sum(((values - spread[layer][0]) / spread[layer][1] for layer, values in rest.items()), torch.zeros(()))
    return Familiarity(
        typical={layer: values.numpy() for layer, values in typical.items()}, spread=spread, usual=total.sort().values.numpy()
    )


def fitted(images: Tensor, spec: DataSpec) -> Tensor:
    """uint8 (N, 1, H, W) at the size a network was trained at, without torchvision, which pages do not load."""
    if images.shape[-2:] == (spec.height, spec.width):
        return images
    scaled = functional.interpolate(images.float(), (spec.height, spec.width), mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8)


def reference_images() -> tuple[Tensor, Tensor]:
    """uint8 (N, 1, 28, 28) and labels (N,): REFERENCES as they are and changed, then CALIBRATION others likewise."""
    split = read_mnist_mini("train")
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(split), generator=generator)
    parts, labels = [], []
    for chosen in (order[:REFERENCES], order[REFERENCES : REFERENCES + CALIBRATION]):
        plain = split.images[chosen]
        changed = augment(plain.float() / 255, PEOPLE, generator)
        parts += [plain, (changed * 255).round().clamp(0, 255).to(torch.uint8)]
        labels += [split.labels[chosen]] * 2
    return torch.cat(parts), torch.cat(labels)


def typical_directions(features: Tensor, labels: Tensor) -> Tensor:
    """(centres, C): each class's features by direction, gathered by k-means (Lloyd's algorithm) around up to TYPICAL centres."""
    directions = functional.normalize(features)
    return torch.cat([_centres(directions[labels == label], TYPICAL) for label in labels.unique()])


def _centres(points: Tensor, count: int) -> Tensor:
    """Started from the first ones: the images are in random order."""
    centres = points[:count]
    for _ in range(ROUNDS):
        nearest = torch.cdist(points, centres).argmin(1)
        members = functional.one_hot(nearest, len(centres)).to(points.dtype)
        sizes = members.sum(0)[:, None]
        centres = torch.where(sizes > 0, members.T @ points / sizes.clamp_min(1), centres)
    return centres


def _distances(features: Tensor, typical: Tensor) -> Tensor:
    return torch.cdist(functional.normalize(features), typical).min(1).values


def familiarity_of(checkpoint: Checkpoint, model: nn.Module, progress: Progress | None = None) -> Familiarity | None:
    """From the file beside a shipped checkpoint or from the cache, else learnt now and kept; None for a network that is not for digits."""
    if not knows_digits(checkpoint.spec):
        return None
    known = kept_familiarity(checkpoint)
    if known is None:
        maps = get_entry(checkpoint.model_name).capabilities(checkpoint.config.model, checkpoint.spec).gradcam_layers
        known = learn(model, checkpoint.spec, maps, progress)
        keep_familiarity(known, _cache(checkpoint))
    return known


# -- kept in a file ---------------------------------------------------------------------------------------------------------------


def kept_familiarity(checkpoint: Checkpoint) -> Familiarity | None:
    """What was learnt of the network with these weights; None where nothing was."""
    for cache in (_beside(checkpoint), _cache(checkpoint)):
        if (layers := cache.read("layers")) is not None:
            names = [str(name) for name in layers[0]]
            if (arrays := cache.read("usual", "spread", *(f"typical.{name}" for name in names))) is not None:
                usual, spread, *typical = arrays
                return Familiarity(
                    typical={name: values.astype(np.float32) for name, values in zip(names, typical, strict=True)},
                    spread={name: (float(row[0]), float(row[1])) for name, row in zip(names, spread, strict=True)},
                    usual=usual,
                )
    return None


def keep_familiarity(known: Familiarity, cache: ArrayCache) -> None:
    """Directions in half precision: the distances differ by less than a thousandth."""
    names = list(known.typical)
    typical = {f"typical.{name}": known.typical[name].astype(np.float16) for name in names}
    spread = np.array([known.spread[name] for name in names])
    cache.write(layers=np.array(names), usual=known.usual, spread=spread, **typical)


def ship_familiarity(checkpoint: Checkpoint, model: nn.Module) -> None:
    """Beside a checkpoint that comes with the project, so that nobody waits for it."""
    known = familiarity_of(checkpoint, model)
    if known is not None:
        keep_familiarity(known, _beside(checkpoint))


def _beside(checkpoint: Checkpoint) -> ArrayCache:
    return ArrayCache(file=checkpoint.path.with_suffix(".digits.npz"), key=_key(checkpoint))


def _cache(checkpoint: Checkpoint) -> ArrayCache:
    return ArrayCache(file=data_root() / FOLDER / f"digits-{checkpoint.weights_sha256[:16]}.npz", key=_key(checkpoint))


def _key(checkpoint: Checkpoint) -> str:
    rule = repr((VERSION, REFERENCES, CALIBRATION, TYPICAL, ROUNDS, PEOPLE, checkpoint.spec))
    return f"{checkpoint.weights_sha256} {hashlib.sha256(rule.encode()).hexdigest()[:16]}"
