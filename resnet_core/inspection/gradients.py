"""Gradients of the loss: per layer, per block input, and what each path of a block hands back to x.

At the add both paths receive the same gradient; they differ in what they pass on to x. Each path starts from its own view of x,
so the two shares add up to the gradient of x exactly (2.1 of the identities that the tests hold).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.inspection.recording import untouched
from resnet_core.models import BlockPlace, block_places, part_of


@dataclass(frozen=True, kw_only=True)
class LayerGradient:
    """L2 norm of the loss gradient at a layer's weights, and of the weights themselves."""

    name: str
    part: str
    weight_grad_norm: float
    weight_norm: float


@dataclass(frozen=True, kw_only=True)
class BlockGradient:
    """L2 norms over the batch of the gradient at a block's fork. None where a plain block has only one path.

    `share` = |through shortcut| / (|through shortcut| + |through residual|); `cosine` between the two shares; `sum_error` is the
    relative error of their sum against the gradient of x.
    """

    name: str
    stage: int
    block: int
    input_grad_norm: float
    through_residual_norm: float | None
    through_shortcut_norm: float | None
    share: float | None
    cosine: float | None
    sum_error: float | None


@dataclass(frozen=True, kw_only=True)
class GradientReport:
    """One backward pass of the mean cross-entropy over a batch."""

    loss: float
    images: int
    mode: str
    layers: tuple[LayerGradient, ...]
    blocks: tuple[BlockGradient, ...]


def measure_gradients(model: nn.Module, images: Tensor, labels: Tensor, *, training: bool = False) -> GradientReport:
    """Gradients for normalised images (N, C, H, W) and labels (N,), in one batch; the model is left as found.

    `training` uses the batch's own BatchNorm statistics, as a training step does; otherwise the running ones.
    """
    if len(images) == 0:
        raise UserError("out_of_range", field="count", value=0, range="at least 1")
    places = block_places(model)
    device = next(model.parameters()).device
    forks: dict[str, dict[str, Tensor]] = {place.name: {} for place in places}
    needing = [p for p in model.parameters() if not p.requires_grad]
    with untouched(model, training=training), _requiring_gradients(needing), _forks_kept(places, forks), torch.enable_grad():
        source = images.detach().to(device, copy=True).requires_grad_()  # so that the first block's input has a gradient in any network
        loss = nn.functional.cross_entropy(model(source).float(), labels.to(device))
        loss.backward()
        layers = tuple(_layer_gradients(model))
    blocks = tuple(_block_gradient(place, forks[place.name]) for place in places)
    return GradientReport(loss=float(loss.detach()), images=len(images), mode="train" if training else "eval", layers=layers, blocks=blocks)


@contextlib.contextmanager
def _requiring_gradients(parameters: list[nn.Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)


@contextlib.contextmanager
def _forks_kept(places: tuple[BlockPlace, ...], forks: dict[str, dict[str, Tensor]]) -> Iterator[None]:
    """While open, a forward pass stores each block's x (behind its preact) and the two views of it, with gradients retained."""
    handles = []

    def keep(name: str, part: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], *output: Tensor) -> None:
            tensor = output[0] if part == "x" else inputs[0]
            tensor.retain_grad()
            forks[name][part] = tensor

        return hook

    try:
        for place in places:
            handles.append(place.module.preact.register_forward_hook(keep(place.name, "x")))
            if place.module.shortcut is not None:
                handles.append(place.module.residual.register_forward_pre_hook(keep(place.name, "residual")))
                handles.append(place.module.shortcut.register_forward_pre_hook(keep(place.name, "shortcut")))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _layer_gradients(model: nn.Module) -> Iterator[LayerGradient]:
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim > 1 and weight.grad is not None:
            yield LayerGradient(
                name=name, part=part_of(name), weight_grad_norm=float(weight.grad.norm()), weight_norm=float(weight.detach().norm())
            )


def _block_gradient(place: BlockPlace, fork: dict[str, Tensor]) -> BlockGradient:
    total = _gradient(fork["x"])
    shares: dict[str, float | None] = dict.fromkeys(("through_residual_norm", "through_shortcut_norm", "share", "cosine", "sum_error"))
    if "shortcut" in fork:
        residual, shortcut = _gradient(fork["residual"]), _gradient(fork["shortcut"])
        f, s, t = float(residual.norm()), float(shortcut.norm()), float(total.norm())
        shares = {
            "through_residual_norm": f,
            "through_shortcut_norm": s,
            "share": s / (s + f) if s + f else 0.0,
            "cosine": float((residual * shortcut).sum()) / (f * s) if f * s else 0.0,
            "sum_error": float((residual + shortcut - total).norm()) / t if t else 0.0,
        }
    return BlockGradient(name=place.name, stage=place.stage, block=place.block, input_grad_norm=float(total.norm()), **shares)


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.double()
