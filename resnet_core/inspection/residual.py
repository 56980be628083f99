"""F(x) against the shortcut, in every block: where, how large, in which direction, and how much of it is dead.

F is taken after its last norm and before the add, the shortcut after its projection or padding. All numbers are per image first,
then averaged over images (science: He et al. 2015 figure 7, De and Smith 2020, Jastrzebski et al. 2018).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.errors import UserError
from resnet_core.inspection.recording import hooked, recorded, untouched
from resnet_core.models import BlockPlace, block_places, find_block, name_of
from resnet_core.models.blocks import Scale

TINY = 1e-12  # a norm below this is a zero; its ratio and cosine are 0


@dataclass(frozen=True, kw_only=True)
class BlockStatistics:
    """Means over images; `_spread` is the standard deviation over images. None where a plain block has no such thing.

    Norms are L2 over (C, H, W). `ratio` = |F| / |shortcut|, `cosine` = cos(F, shortcut), `dead_share` = share of channels that are 0
    after the last ReLU on every image (None in v2, which ends without one), `residual_std` over images and positions.
    """

    name: str
    stage: int
    block: int
    residual_norm: float
    shortcut_norm: float | None
    output_norm: float
    ratio: float | None
    ratio_spread: float | None
    cosine: float | None
    cosine_spread: float | None
    residual_std: float
    dead_share: float | None
    residual_norm_spread: float | None = None  # records of older trainings have neither
    output_norm_spread: float | None = None
    layer_grad_norms: Mapping[str, float] | None = None  # while training: at each layer's weights, as the optimizer got them last


@dataclass(frozen=True, kw_only=True)
class BlockMaps:
    """The tensors of one block for one image, each (C, H, W); shortcut and sum are None in a plain block."""

    name: str
    input: NDArray[np.float32]
    residual: NDArray[np.float32]
    shortcut: NDArray[np.float32] | None
    sum: NDArray[np.float32] | None
    output: NDArray[np.float32]


class _Accumulator:
    """What is gathered of one block while batches pass by; it stays on the device until the end, so that a GPU never waits."""

    def __init__(self, place: BlockPlace) -> None:
        self.place = place
        self.rows: list[Tensor] = []  # (5, B): |F|, |s|, <F, s>, |y|, sum of F
        self.sizes = 0  # numbers in all F
        self.active: list[Tensor] = []  # (C,) sum of what came out of the last ReLU, which is never below 0

    def see(self, residual: Tensor, shortcut: Tensor | None, output: Tensor) -> None:
        norms = [_norms(residual), _norms(output)]
        other, product = (_norms(shortcut), _dots(residual, shortcut)) if shortcut is not None else (torch.zeros_like(norms[0]),) * 2
        self.rows.append(torch.stack([norms[0], other, product, norms[1], residual.sum((1, 2, 3))]))
        self.sizes += residual.numel()
        if isinstance(self.place.module.relu, nn.ReLU):
            self.active.append(output.sum((0, 2, 3)))

    def result(self) -> BlockStatistics:
        residual, shortcut, product, output, total = torch.cat(self.rows, 1).cpu().double()
        plain = self.place.module.shortcut is None
        ratio = torch.where(shortcut <= TINY, 0.0, residual / shortcut.clamp_min(TINY))  # nan stays nan
        both = residual * shortcut
        cosine = torch.where(both <= TINY, 0.0, product / both.clamp_min(TINY))
        variance = float(residual.square().sum()) / self.sizes - (float(total.sum()) / self.sizes) ** 2
        return BlockStatistics(
            name=self.place.name,
            stage=self.place.stage,
            block=self.place.block,
            residual_norm=float(residual.mean()),
            shortcut_norm=None if plain else float(shortcut.mean()),
            output_norm=float(output.mean()),
            ratio=None if plain else float(ratio.mean()),
            ratio_spread=None if plain else float(ratio.std(correction=0)),
            cosine=None if plain else float(cosine.mean()),
            cosine_spread=None if plain else float(cosine.std(correction=0)),
            residual_std=max(variance, 0.0) ** 0.5,
            residual_norm_spread=float(residual.std(correction=0)),
            output_norm_spread=float(output.std(correction=0)),
            dead_share=self._dead_share(),
        )

    def _dead_share(self) -> float | None:
        """nan where the activations are not finite: nobody can say what lives there."""
        if not self.active:
            return None
        sums = torch.stack(self.active).sum(0)
        return float((sums == 0).cpu().float().mean()) if bool(sums.isfinite().all()) else math.nan


def _norms(tensor: Tensor) -> Tensor:
    """L2 norm of each image, (B, C, H, W) -> (B,)."""
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=(1, 2, 3))
    return norms


def _dots(a: Tensor, b: Tensor) -> Tensor:
    """Dot product of each image of a with its one of b, (B,). Both are read in the order in which they lie in memory."""
    if a.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    dots: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))  # 6 times as fast as einsum on a CPU
    return dots


@torch.inference_mode()
def residual_statistics(model: nn.Module, images: Tensor, *, batch_size: int = 64) -> tuple[BlockStatistics, ...]:
    """Statistics of every block over normalised images (N, C, H, W), in eval mode and float32; the model is left as found.

    Raises UserError for a network without blocks or for no images.
    """
    places = block_places(model)
    if not places:
        raise UserError("no_blocks", name=name_of(model))
    if len(images) == 0:
        raise UserError("out_of_range", field="count", value=0, range="at least 1")
    gathered = [_Accumulator(place) for place in places]
    seen: dict[str, Tensor] = {}

    def see(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        index, part = name.split(" ")
        if part != "block":
            seen[part] = output
            return
        gathered[int(index)].see(seen.pop("residual"), seen.pop("shortcut", None), output)

    device = next(model.parameters()).device
    with untouched(model), hooked(_block_hooks(places), see):
        for batch in images.split(batch_size):
            model(batch.to(device))
    return tuple(item.result() for item in gathered)


def formula_stds(model: nn.Module) -> dict[str, float | None]:
    """Std of F by the closed form of every block's last BatchNorm, without data: sqrt(mean of gamma^2 + variance of beta) over channels.

    Each normalised channel has mean beta and std gamma over a batch in train mode (He et al. 2015, figure 7); in eval mode it is as
    near as the collected statistics are. None where F does not end in a BatchNorm (v2, other norms).
    """
    return {place.name: _formula_std(place.module.residual) for place in block_places(model)}


def _formula_std(branch: nn.Sequential) -> float | None:
    *_, last = (module for module in branch if not isinstance(module, Scale))
    factor = next((module.factor for module in branch if isinstance(module, Scale)), 1.0)
    if not isinstance(last, _BatchNorm):
        return None
    gamma, beta = last.weight.detach().double(), last.bias.detach().double()
    return factor * float((gamma.square().mean() + beta.var(correction=0)).sqrt())


def _block_hooks(places: tuple[BlockPlace, ...]) -> dict[str, nn.Module]:
    """`"<index> residual"`, `"<index> shortcut"`, `"<index> block"` of every block, in an order that the forward pass follows."""
    hooks: dict[str, nn.Module] = {}
    for index, place in enumerate(places):
        hooks[f"{index} residual"] = place.module.residual
        if place.module.shortcut is not None:
            hooks[f"{index} shortcut"] = place.module.shortcut
        hooks[f"{index} block"] = place.module
    return hooks


@torch.inference_mode()
def block_maps(model: nn.Module, image: Tensor, block: str) -> BlockMaps:
    """x, F(x), shortcut, sum and output of one block for one normalised image (1, C, H, W); the model is left as found."""
    place = find_block(model, block)
    parts: dict[str, nn.Module] = {"input": place.module.preact, "residual": place.module.residual, "output": place.module}
    if place.module.shortcut is not None and place.module.add is not None:
        parts |= {"shortcut": place.module.shortcut, "sum": place.module.add}
    seen: dict[str, NDArray[np.float32]] = {}

    def see(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[name] = (inputs[0] if name == "input" else output)[0].float().cpu().numpy().copy()

    with untouched(model), hooked(parts, see):
        model(image.to(next(model.parameters()).device))
    return BlockMaps(
        name=block,
        input=seen["input"],
        residual=seen["residual"],
        shortcut=seen.get("shortcut"),
        sum=seen.get("sum"),
        output=seen["output"],
    )


@torch.inference_mode()
def all_outputs(model: nn.Module, image: Tensor) -> dict[str, NDArray[np.float32]]:
    """Output (C, H, W) of every block by name, for one normalised image (1, C, H, W)."""
    places = {place.name: place.module for place in block_places(model)}
    with untouched(model), recorded(places) as cache:
        model(image.to(next(model.parameters()).device))
    return {name: output[0].cpu().numpy() for name, output in cache.items()}
