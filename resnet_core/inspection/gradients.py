"""Gradients of the loss: per layer, per block input, and what each path of a block hands back to x.

At the add both paths receive the same gradient; they differ in what they pass on to x. Each path starts from its own view of x,
so the two shares add up to the gradient of x exactly (2.1 of the identities that the tests hold).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

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
    device = next(model.parameters()).device
    forks = [_Fork(place) for place in block_places(model)]
    needing = [p for p in model.parameters() if not p.requires_grad]
    with untouched(model, training=training), _requiring_gradients(needing), _open(forks), torch.enable_grad():
        source = images.detach().to(device, copy=True).requires_grad_()  # so that the first block's input has a gradient in any network
        loss = nn.functional.cross_entropy(model(source).float(), labels.to(device))
        loss.backward()
        layers = tuple(_layer_gradients(model))
    blocks = tuple(fork.result() for fork in forks)
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


class _Fork:
    """The gradients at one block's fork, measured as soon as the backward pass has them, so that none of them is kept."""

    def __init__(self, place: BlockPlace) -> None:
        self.place = place
        self.shares: dict[str, Tensor] = {}
        self.measured: Tensor | None = None  # (5,): |total|, |residual|, |shortcut|, their dot product, |residual + shortcut - total|

    def hook_paths(self) -> Iterator[RemovableHandle]:
        """Hooks under which a forward pass asks for the gradient of x (behind the preact) and of each path's view of it."""

        def see_x(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.register_hook(self._measure)

        yield self.place.module.preact.register_forward_hook(see_x)
        for name, path in (("residual", self.place.module.residual), ("shortcut", self.place.module.shortcut)):
            if self.place.module.shortcut is not None and path is not None:
                yield path.register_forward_pre_hook(self._see_path(name))

    def _see_path(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            inputs[0].register_hook(lambda gradient: self.shares.__setitem__(name, gradient))

        return see

    def _measure(self, total: Tensor) -> None:
        zero = total.new_zeros(()).expand_as(total)  # a path may hand nothing back, such as one that was switched off
        residual, shortcut = self.shares.pop("residual", zero), self.shares.pop("shortcut", zero)
        norms = [torch.linalg.vector_norm(g) for g in (total, residual, shortcut, residual + shortcut - total)]
        self.measured = torch.stack([*norms[:3], (residual * shortcut).sum(), norms[3]])

    def result(self) -> BlockGradient:
        total, residual, shortcut, product, error = self.measured.tolist() if self.measured is not None else (0.0,) * 5
        plain = self.place.module.shortcut is None
        return BlockGradient(
            name=self.place.name,
            stage=self.place.stage,
            block=self.place.block,
            input_grad_norm=total,
            through_residual_norm=None if plain else residual,
            through_shortcut_norm=None if plain else shortcut,
            share=None if plain else _ratio(shortcut, shortcut + residual),
            cosine=None if plain else _ratio(product, residual * shortcut),
            sum_error=None if plain else _ratio(error, total),
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


@contextlib.contextmanager
def _open(forks: list[_Fork]) -> Iterator[None]:
    handles: list[RemovableHandle] = []
    try:
        for fork in forks:
            handles.extend(fork.hook_paths())
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
