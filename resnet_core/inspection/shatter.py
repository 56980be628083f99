"""Does a gradient still point somewhere? Autocorrelation of gradients along a line of inputs (Balduzzi et al. 2017, arXiv:1702.08591).

Where neighbouring inputs have similar gradients, a step that helps one helps the other. The gradients of deep networks without shortcuts
look like white noise instead: of healthy size, and useless as a direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.errors import UserError
from resnet_core.inspection.recording import untouched
from resnet_core.models.initialization import stream

# The toy, as in the paper's section 2: a scalar input, rectifiers, BatchNorm, He's initialisation.
WIDTH = 200
POINTS = 256
LIMIT = 2.0  # inputs from -LIMIT to LIMIT
MOST_DEPTH = 50
LAGS = tuple(range(1, 21))
SETTLED_ON = 256  # images for the BatchNorms of an untrained network of one's own
KINDS = ("plain", "resnet")
NOISES = ("white", "brown")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ToyGradients:
    """df/dx of an untrained network with a scalar input, mean over seeds. `norm` is its root mean square over the points, `spread` the
    standard deviation of the autocorrelation over seeds; `gradient` (POINTS,) is the first seed's at the inputs `x` (POINTS,)."""

    kind: str
    depth: int
    seeds: int
    lags: tuple[int, ...]
    autocorrelation: tuple[float, ...]
    spread: tuple[float, ...]
    norm: float
    x: Array
    gradient: Array


@dataclass(frozen=True, kw_only=True)
class LineGradients:
    """Gradients of one logit at `positions` (P,) in [0, 1] from the first image to the second. `norms` (P,) are their L2 norms, `slope`
    (P,) is their part along the line, d logit / d position; `step` is the distance of neighbouring points in normalised pixels."""

    target: int
    lags: tuple[int, ...]
    autocorrelation: tuple[float, ...]
    step: float
    positions: Array
    norms: Array
    slope: Array
    probability: Array


def autocorrelation(series: Array, lags: Sequence[int] = LAGS) -> tuple[float, ...]:
    """Of a series of numbers (P,) or vectors (P, D): sum over t of <g_t - m, g_(t+lag) - m> / sum of |g_t - m|^2; 0 where nothing varies.

    The estimator that divides by P at every lag: it shrinks towards 0 where fewer pairs are left, also for the noises beside it.
    """
    if not len(series) > max(lags):
        raise UserError("out_of_range", field="points", value=len(series), range=f"at least {max(lags) + 1}")
    centred = series.reshape(len(series), -1) - series.reshape(len(series), -1).mean(0)
    whole = float((centred**2).sum())
    if whole <= 1e-20 * float((series**2).sum()):  # constant but for rounding
        return (0.0,) * len(lags)
    return tuple(float((centred[:-lag] * centred[lag:]).sum()) / whole for lag in lags)


def noise(kind: str, points: int, seed: int) -> Array:
    """White noise, or brown noise: a random walk, whose steps are white."""
    if kind not in NOISES:
        raise UserError("not_a_choice", field="noise", choices=", ".join(NOISES), value=kind)
    white: Array = np.random.default_rng(seed).standard_normal(points)
    return white if kind == "white" else white.cumsum()


def noise_autocorrelation(kind: str, *, points: int = POINTS, lags: Sequence[int] = LAGS, seeds: int = 300) -> tuple[float, ...]:
    """Mean over seeds, as measured on a series of this length."""
    found = np.array([autocorrelation(noise(kind, points, seed), lags) for seed in range(seeds)])
    return tuple(found.mean(0).tolist())


# -- the toy ----------------------------------------------------------------------------------------------------------------------


def toy_gradients(kind: str, depth: int, *, seeds: int = 5, lags: Sequence[int] = LAGS) -> ToyGradients:
    """`depth` layers of WIDTH behind a first one from the scalar input. plain: h = relu(BN(W h)); resnet: h = h + W relu(BN(h)).

    BatchNorm uses the mean and variance over the points and takes them as given, so that f is a function of one input.
    """
    if kind not in KINDS:
        raise UserError("not_a_choice", field="kind", choices=", ".join(KINDS), value=kind)
    for field, value, most in (("depth", depth, MOST_DEPTH), ("seeds", seeds, 100)):
        if not 1 <= value <= most:
            raise UserError("out_of_range", field=field, value=value, range=f"between 1 and {most}")
    found = [_toy_gradient(kind, depth, seed) for seed in range(seeds)]
    correlations = np.array([autocorrelation(gradient, lags) for gradient in found])  # (seeds, lags)
    return ToyGradients(
        kind=kind,
        depth=depth,
        seeds=seeds,
        lags=tuple(lags),
        autocorrelation=tuple(correlations.mean(0).tolist()),
        spread=tuple(correlations.std(0).tolist()),
        norm=float(np.sqrt(np.square(found).mean(1)).mean()),
        x=np.linspace(-LIMIT, LIMIT, POINTS),
        gradient=found[0],
    )


def _toy_gradient(kind: str, depth: int, seed: int) -> Array:
    with torch.enable_grad():
        x = torch.linspace(-LIMIT, LIMIT, POINTS)[:, None].requires_grad_()  # (POINTS, 1)
        output = _toy_network(kind, depth, seed, x)
        (gradient,) = torch.autograd.grad(output.sum(), x)  # points do not mix, so each has the slope at its own place
    array: Array = gradient[:, 0].double().numpy()
    return array


def _toy_network(kind: str, depth: int, seed: int, x: Tensor) -> Tensor:
    """(P, 1) -> (P,). Both kinds have the same weights."""
    hidden = functional.relu(_normalised(x @ _weights(seed, "first", 1, WIDTH, gain=2)))  # (P, WIDTH)
    for layer in range(depth):
        weights = _weights(seed, f"layer{layer}", WIDTH, WIDTH, gain=2)
        if kind == "plain":
            hidden = functional.relu(_normalised(hidden @ weights))
        else:
            hidden = hidden + functional.relu(_normalised(hidden)) @ weights
    return (hidden @ _weights(seed, "last", WIDTH, 1, gain=1))[:, 0]


def _weights(seed: int, name: str, rows: int, columns: int, *, gain: float) -> Tensor:
    scale: float = (gain / rows) ** 0.5
    return torch.randn(rows, columns, generator=stream(seed, name)) * scale


def _normalised(hidden: Tensor) -> Tensor:
    fixed = hidden.detach()
    return (hidden - fixed.mean(0)) / (fixed.var(0, correction=0) + 1e-5).sqrt()


# -- a network of one's own -------------------------------------------------------------------------------------------------------


def line_gradients(
    model: nn.Module, first: Tensor, second: Tensor, target: int, *, points: int = POINTS, lags: Sequence[int] = LAGS, batch_size: int = 64
) -> LineGradients:
    """Gradients of the logit `target` at `points` inputs from one normalised image (1, C, H, W) to another, in eval mode; the model is
    left as found. Their autocorrelation is that of the gradients as vectors, all pixels together."""
    if points <= max(lags):
        raise UserError("out_of_range", field="points", value=points, range=f"at least {max(lags) + 1}")
    device = next(model.parameters()).device
    start, way = first.detach().to(device), (second - first).detach().to(device)
    positions = torch.linspace(0, 1, points, device=device)
    gradients, probabilities = [], []
    with untouched(model), torch.enable_grad():
        for part in positions.split(batch_size):
            inputs = (start + part[:, None, None, None] * way).requires_grad_()  # (B, C, H, W)
            logits = model(inputs).float()
            gradients.append(torch.autograd.grad(logits[:, target].sum(), inputs)[0].flatten(1))
            probabilities.append(logits.detach().softmax(1)[:, target])
    vectors = torch.cat(gradients).double().cpu()  # (P, C*H*W)
    series: Array = vectors.numpy()
    slope: Array = (vectors @ way.double().cpu().flatten()).numpy()
    return LineGradients(
        target=target,
        lags=tuple(lags),
        autocorrelation=autocorrelation(series, lags),
        step=float(torch.linalg.vector_norm(way)) / (points - 1),
        positions=np.linspace(0, 1, points),
        norms=np.sqrt(np.square(series).sum(1)),
        slope=slope,
        probability=torch.cat(probabilities).double().cpu().numpy(),
    )
