"""Small networks with eight images for them; "left as found" means the same as for what is measured inside a network."""

import pytest
import torch
from torch import Tensor

from tests.core.inspection.conftest import build, witness

__all__ = ["build", "witness"]


@pytest.fixture
def pixels() -> Tensor:
    """uint8 (8, 1, 12, 12): smooth shapes on black, as digits are."""
    noise = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(noise, (12, 12), mode="bilinear", align_corners=False)
    return ((smooth - 0.45).clamp(min=0) * 460).to(torch.uint8)


@pytest.fixture
def references() -> Tensor:
    return torch.randint(0, 256, (5, 1, 12, 12), generator=torch.Generator().manual_seed(4), dtype=torch.uint8)
