"""Captum's LayerGradCam and LayerConductance for every place of a network from the same passes, where Captum makes its passes per place.

The slopes come from Captum's own function for layers, its steps from its own table; the tests compare every place with a call of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from resnet_core.attribution.captum_door import captum


class EveryLayer:
    """A method about layers. Its answer (B, all places of all layers) is one row per image, so that NoiseTunnel can average it; `split` takes
    it apart. A place has the sum over its channels."""

    multiplies_by_inputs = True

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.forward_func, self.names = model, tuple(names)
        self.sizes: list[tuple[int, int]] = []

    def split(self, rows: Tensor) -> dict[str, Tensor]:
        """Layer -> (B, 1, h, w)."""
        parts = rows.split([height * width for height, width in self.sizes], dim=1)
        return {name: part.view(-1, 1, *size) for name, part, size in zip(self.names, parts, self.sizes, strict=True)}

    def _slopes(self, inputs: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(gradient of the score, output), both (B, C, h, w), of each layer."""
        layers = [self.forward_func.get_submodule(name) for name in self.names]
        gradients, outputs = captum("attr")._core.layer.grad_cam.compute_layer_gradients_and_eval(self.forward_func, layers, inputs, target)
        return [(gradient[0], output[0]) for gradient, output in zip(gradients, outputs, strict=True)]

    def _joined(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, h, w) as one row per image."""
        self.sizes = [(one.shape[-2], one.shape[-1]) for one in maps]
        return torch.cat([one.flatten(1) for one in maps], dim=1)


class GradCam(EveryLayer):
    def attribute(self, inputs: Tensor, *, target: Tensor, relu_attributions: bool) -> Tensor:
        maps = [(gradient.mean((2, 3), keepdim=True) * output).sum(1).detach() for gradient, output in self._slopes(inputs, target)]
        return self._joined([one.relu() if relu_attributions else one for one in maps])


class Conductance(EveryLayer):
    def attribute(self, inputs: Tensor, *, target: Tensor, baselines: Tensor, n_steps: int, internal_batch_size: int) -> Tensor:
        """From point to point of the way: the slope at the first times the change of the layer's output."""
        _, points = captum("attr")._utils.approximation_methods.approximation_parameters("gausslegendre")
        shares, count = points(n_steps + 1), len(inputs)
        targets = target.expand(count)  # NoiseTunnel hands in one for all its copies of an image
        strides = max(1, internal_batch_size // count - 1)
        total: Tensor | None = None
        for start in range(0, n_steps, strides):
            some = shares[start : start + strides + 1]  # each part begins where the one before it ended
            way = torch.cat([baselines + share * (inputs - baselines) for share in some]).detach().requires_grad_()
            maps = []
            for gradient, output in self._slopes(way, targets.repeat(len(some))):
                flow = gradient[:-count] * (output[count:] - output[:-count])
                maps.append(flow.sum(1).detach().view(len(some) - 1, count, *output.shape[-2:]).sum(0))
            part = self._joined(maps)
            total = part if total is None else total + part
        assert total is not None
        return total
