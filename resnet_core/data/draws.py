"""The random numbers of augmentation: all from one generator, on its device."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def uniform(self, count: int, low: float, high: float) -> Tensor:
        return torch.rand(count, generator=self.generator, device=self.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def integers(self, count: int, end: int) -> Tensor:
        """From 0 to end - 1."""
        return torch.randint(end, (count,), generator=self.generator, device=self.device)

    def chance(self, count: int, probability: float) -> Tensor:
        """True with this probability, (count,) bool."""
        return torch.rand(count, generator=self.generator, device=self.device) < probability

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
