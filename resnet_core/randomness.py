"""The global random generators of torch and NumPy, which libraries draw from, lent to one thread at a time.

Whoever draws by chance in one session would otherwise move, or set back, what another one is drawing at the same moment.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch

_borrowed = threading.RLock()


@contextlib.contextmanager
def drawing_from(seed: int | None, *, devices: Sequence[int] | None = None) -> Iterator[None]:
    """Both start from the seed, unless it is None, and go on afterwards as if nothing had been; of GPUs those in `devices`, else all."""
    with _borrowed, torch.random.fork_rng(devices=devices):
        before = np.random.get_state()
        if seed is not None:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
