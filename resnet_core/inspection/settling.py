"""BatchNorm statistics for a network that has not seen data: its running ones are 0 and 1, and in eval mode it would not normalise at all."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ENOUGH = 64  # images: with hundreds of positions each, more of them move a channel's mean and variance by a percent


@torch.inference_mode()
def settle_norms(model: nn.Module, images: Tensor, *, batch_size: int = 64, within: Iterable[nn.Module] | None = None) -> nn.Module:
    """Set every BatchNorm's running statistics to their mean over batches of normalised images (N, C, H, W), and nothing else.

    So an untrained network is measured in eval mode as it would behave in its first training step. `within`: only norms inside of these
    parts of the model; the others keep theirs, and the mode that they are in.
    """
    norms = [module for part in (within or (model,)) for module in part.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm, norm.momentum, norm.training) for norm in norms]
    if not norms:
        return model
    device = next(model.parameters()).device
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
            norm.train()
        for batch in images.tensor_split(list(range(batch_size, len(images) - 1, batch_size))):  # no last one of a single image
            model(batch.to(device))
    finally:
        for norm, momentum, training in kept:
            norm.momentum = momentum
            norm.training = training
    return model
