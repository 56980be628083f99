"""Gradients of the loss: per layer, per block input, and what each path of a block hands back to x.

At the add both paths receive the same gradient; they differ in what they pass on to x. Each path starts from its own view of x,
so the two shares add up to the gradient of x exactly.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resnet_core.config import TrainConfig
from resnet_core.errors import UserError
from resnet_core.inspection.recording import untouched
from resnet_core.inspection.updates import clip_factor, first_update
from resnet_core.models import BlockPlace, block_places, part_of
from resnet_core.randomness import drawing_from


@dataclass(frozen=True, kw_only=True)
class LayerGradient:
    """L2 norm of the loss gradient at a layer's weights, and of the weights themselves. `update_ratio` = |first update| / |weights|, where
    it is known how the network is trained."""

    name: str
    part: str
    weight_grad_norm: float
    weight_norm: float
    update_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class BlockGradient:
    """L2 norms over the batch of the gradient at a block's fork. None where a plain block has only one path.

    `add_grad_norm` is the gradient at the add, which both paths receive. `share` = |through shortcut| / (|through shortcut| +
    |through residual|); `cosine` between the two shares; `sum_error` is the relative error of their sum against the gradient of x.
    `refinement` = cos(F, dL/dx), mean over images: below 0, F moves x to where the loss is lower (iterative inference, Jastrzebski et
    al. 2018, arXiv:1710.04773); None where the shortcut is not the identity, since F and x then live in different spaces.
    """

    name: str
    stage: int
    block: int
    input_grad_norm: float
    add_grad_norm: float | None
    through_residual_norm: float | None
    through_shortcut_norm: float | None
    share: float | None
    cosine: float | None
    sum_error: float | None
    refinement: float | None


@dataclass(frozen=True, kw_only=True)
class GradientReport:
    """One backward pass of the mean cross-entropy over a batch."""

    loss: float
    images: int
    mode: str
    layers: tuple[LayerGradient, ...]
    blocks: tuple[BlockGradient, ...]


def measure_gradients(
    model: nn.Module, images: Tensor, labels: Tensor, *, training: bool = False, train: TrainConfig | None = None
) -> GradientReport:
    """Gradients for normalised images (N, C, H, W) and labels (N,), in one batch; the model is left as found.

    `training` uses the batch's own BatchNorm statistics, as a training step does, and drops (always the same) what a network drops by
    chance; otherwise the running statistics are used. `train` says with which optimizer and learning rate a step would be made of them.
    """
    if len(images) == 0:
        raise UserError("out_of_range", field="count", value=0, range="at least 1")
    device = next(model.parameters()).device
    forks = [_Fork(place) for place in block_places(model)]
    needing = [p for p in model.parameters() if not p.requires_grad]
    same_drops = drawing_from(0) if training else contextlib.nullcontext()
    with same_drops, untouched(model, training=training), _requiring_gradients(needing), _open(forks), torch.enable_grad():
        source = images.detach().to(device, copy=True).requires_grad_()  # so that the first block's input has a gradient in any network
        try:
            logits = model(source)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError("one_value_per_channel", count=len(images)) from error
        loss = nn.functional.cross_entropy(logits.float(), labels.to(device))
        loss.backward()
        layers = tuple(_layer_gradients(model, train))
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
        self.is_plain = place.module.shortcut is None
        self.refines = isinstance(place.module.shortcut, nn.Identity)
        self.shares: dict[str, Tensor] = {}
        self.residual: Tensor | None = None
        self.at_add: Tensor | None = None
        self.measured: Tensor | None = (
            None  # (6,): |total|, |residual|, |shortcut|, their product, |residual + shortcut - total|, cos(F, total)
        )

    def hook_paths(self) -> Iterator[RemovableHandle]:
        """Hooks under which a forward pass asks for the gradient of x (behind the preact), of each path's view of it, and of the sum."""

        def see_x(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.register_hook(self._measure)

        def see_residual(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.residual = output.detach()

        def see_sum(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.register_hook(lambda gradient: setattr(self, "at_add", torch.linalg.vector_norm(gradient)))

        block = self.place.module
        yield block.preact.register_forward_hook(see_x)
        if block.shortcut is None or block.add is None:
            return
        yield block.residual.register_forward_pre_hook(self._see_path("residual"))
        yield block.shortcut.register_forward_pre_hook(self._see_path("shortcut"))
        yield block.add.register_forward_hook(see_sum)
        if self.refines:
            yield block.residual.register_forward_hook(see_residual)

    def _see_path(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            inputs[0].register_hook(lambda gradient: self.shares.__setitem__(name, gradient))

        return see

    def _measure(self, total: Tensor) -> None:
        zero = total.new_zeros(()).expand_as(total)  # a path may hand nothing back, such as one that was switched off
        residual, shortcut = self.shares.pop("residual", zero), self.shares.pop("shortcut", zero)
        norms = [torch.linalg.vector_norm(g) for g in (total, residual, shortcut, residual + shortcut - total)]
        direction = total.new_zeros(()) if self.residual is None else _mean_cosine(self.residual, total)
        self.residual = None
        self.measured = torch.stack([*norms[:3], (residual * shortcut).sum(), norms[3], direction])

    def result(self) -> BlockGradient:
        total, residual, shortcut, product, error, direction = self.measured.tolist() if self.measured is not None else (0.0,) * 6
        at_add = 0.0 if self.at_add is None else float(self.at_add)
        return BlockGradient(
            name=self.place.name,
            stage=self.place.stage,
            block=self.place.block,
            input_grad_norm=total,
            add_grad_norm=None if self.is_plain else at_add,
            through_residual_norm=None if self.is_plain else residual,
            through_shortcut_norm=None if self.is_plain else shortcut,
            share=None if self.is_plain else _ratio(shortcut, shortcut + residual),
            cosine=None if self.is_plain else _ratio(product, residual * shortcut),
            sum_error=None if self.is_plain else _ratio(error, total),
            refinement=direction if self.refines else None,
        )


def _mean_cosine(one: Tensor, other: Tensor) -> Tensor:
    """Cosine of each image's tensors (N, ...), mean over the images; an image where either is 0 counts as 0. Scaled first: the
    gradients of deep networks can be so small that their squares are 0 in float32."""
    one, other = (t.flatten(1) / t.flatten(1).abs().amax(1, keepdim=True).clamp_min(torch.finfo(t.dtype).tiny) for t in (one, other))
    return nn.functional.cosine_similarity(one, other, dim=1).mean()


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


def kept_gradient_norms(model: nn.Module) -> dict[str, float]:
    """L2 norms of the gradients that lie at the layers' weights now, by layer; one look at the device. Empty before the first step."""
    kept = {
        name: module.weight.grad
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.ndim > 1 and module.weight.grad is not None
    }
    norms = torch.stack(torch._foreach_norm(list(kept.values()))).tolist() if kept else []
    return dict(zip(kept, norms, strict=True))


def _layer_gradients(model: nn.Module, train: TrainConfig | None) -> Iterator[LayerGradient]:
    clip = 1.0
    if train is not None and train.clip_norm is not None:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        clip = clip_factor(train, float(torch.stack(torch._foreach_norm(gradients)).norm()))
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim > 1 and weight.grad is not None:
            values = weight.detach()
            norm = float(values.norm())
            update = None if train is None else _ratio(float(first_update(train, values, clip * weight.grad).norm()), norm)
            yield LayerGradient(
                name=name, part=part_of(name), weight_grad_norm=float(weight.grad.norm()), weight_norm=norm, update_ratio=update
            )
