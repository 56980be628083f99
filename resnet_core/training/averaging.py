"""The exponential moving average of a network's weights and BatchNorm statistics."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the network to be moved by `average` after every step; `decay` is the share of the old average that stays."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


@torch.no_grad()
def average(ema: AveragedModel, model: nn.Module, decay: float, *, first: bool) -> None:
    """As AveragedModel.update_parameters, which asks a GPU in every step how many there were; the `first` step is copied."""
    kept = [*ema.module.parameters(), *ema.module.buffers()]
    now = [*model.parameters(), *model.buffers()]
    if first:
        torch._foreach_copy_(kept, now)
    else:
        pairs = [(a, b) for a, b in zip(kept, now, strict=True) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], 1 - decay)
        for a, b in zip(kept, now, strict=True):
            if not a.is_floating_point():  # how many batches a BatchNorm has seen
                a.copy_(a * decay + b * (1 - decay))
    ema.n_averaged.add_(1)
