"""The random numbers of augmentation: all from one generator, on its device.

Where several processes share a batch, each draws the numbers of all its images and keeps those of its own: what happens to an image does
not depend on how many processes there are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Share:
    """The images at these places of a batch of `total`."""

    places: slice
    total: int


@dataclass(frozen=True)
class Draws:
    """With a `share`, `count` images of a larger batch get the numbers that they would get in the whole of it."""

    generator: torch.Generator
    share: Share | None = None

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def uniform(self, count: int, low: float, high: float) -> Tensor:
        return self._own(torch.rand(self._all(count), generator=self.generator, device=self.device)) * (high - low) + low

    def normal(self, count: int, *shape: int) -> Tensor:
        return self._own(torch.randn((self._all(count), *shape), generator=self.generator, device=self.device))

    def integers(self, count: int, end: int) -> Tensor:
        """From 0 to end - 1."""
        return self._own(torch.randint(end, (self._all(count),), generator=self.generator, device=self.device))

    def chance(self, count: int, probability: float) -> Tensor:
        """True with this probability, (count,) bool."""
        return self._own(torch.rand(self._all(count), generator=self.generator, device=self.device)) < probability

    def _all(self, count: int) -> int:
        return count if self.share is None else self.share.total

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn if self.share is None else drawn[self.share.places]

    def order(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator, device=self.device)

    def beta(self, alpha: float) -> Tensor:
        """One number from Beta(alpha, alpha), a tensor without shape: reading it as a float would make a GPU wait."""
        generator = self.generator
        if self.device.type not in ("cpu", "cuda"):  # gamma numbers are drawn on these two only
            generator = torch.Generator().manual_seed(int(self.integers(1, 2**31 - 1)))
        shape = torch.full((2,), alpha, dtype=torch.float64, device=generator.device)
        gammas = torch._standard_gamma(shape, generator=generator)
        return (gammas[0] / gammas.sum()).float().to(self.device)
