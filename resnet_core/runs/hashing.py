"""One number for all weights of a network: two trainings are the same when these are."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the weights' bytes in the order of their names (contiguous, as stored in a checkpoint)."""
    seen = hashlib.sha256()
    for name in sorted(weights):
        seen.update(weights[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()
