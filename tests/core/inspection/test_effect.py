"""What F does to the shortcut: by hand on small arrays, and by formulas."""

import math

import numpy as np
import pytest
from torch import Tensor

from resnet_core.inspection import (
    BlockMaps,
    block_maps,
    channel_measures,
    inverse_root_line,
    position_shares,
    residual_statistics,
)
from tests.core.inspection.conftest import Build


def maps_of(shortcut: list[float], residual: list[float]) -> BlockMaps:
    """One channel, one row."""
    s, f = (np.array([[values]], dtype=np.float32) for values in (shortcut, residual))
    return BlockMaps(name="stages.0.0", input=s, residual=f, shortcut=s, sum=s + f, output=np.maximum(s + f, 0))


def test_the_four_kinds_of_positions_by_hand() -> None:
    shares = position_shares(maps_of([1, 1, 2, 0, 0, 0, 3, 0], [-0.5, -2, 1, 4, -4, 0, 0, 2]))
    assert shares is not None
    assert shares.cancels == 2 / 8  # -0.5 and -2
    assert shares.amplifies == 1 / 8  # 2 + 1
    assert shares.adds == 2 / 8  # 0 + 4 and 0 + 2
    assert shares.nothing == 3 / 8  # 0 - 4, cut by the ReLU; 0 + 0; 3 + 0


def test_channel_measures_by_hand() -> None:
    measures = channel_measures(maps_of([1, 1, 2], [-0.5, -2, 2]))
    assert measures.residual_norm[0] == pytest.approx(math.sqrt(0.25 + 4 + 4))
    assert measures.change is not None
    assert measures.change[0] == pytest.approx(math.sqrt(0.25 + 1 + 4))  # outputs 0.5, 0, 4
    assert measures.cancelled is not None
    assert measures.cancelled[0] == pytest.approx(0.5 + 1)  # no more than x has


def test_channels_add_up_to_the_block(build: Build, images: Tensor) -> None:
    model = build("resnet8")
    maps = block_maps(model, images[:1], "stages.1.0")
    measures = channel_measures(maps)
    block = next(b for b in residual_statistics(model, images[:1]) if b.name == "stages.1.0")
    assert np.sqrt(np.square(measures.residual_norm).sum()) == pytest.approx(block.residual_norm, rel=1e-5)
    shares = position_shares(maps)
    assert shares is not None
    assert shares.cancels + shares.amplifies + shares.adds + shares.nothing == pytest.approx(1)


def test_a_plain_block_has_nothing_to_cancel(build: Build, images: Tensor) -> None:
    maps = block_maps(build("plain8"), images[:1], "stages.0.0")
    assert position_shares(maps) is None
    assert channel_measures(maps).cancelled is None
    assert inverse_root_line(residual_statistics(build("plain8"), images)) == (None, None, None)


def test_the_line_falls_as_one_over_the_root_and_goes_through_the_middle(build: Build, images: Tensor) -> None:
    blocks = residual_statistics(build("resnet20"), images)
    line = inverse_root_line(blocks)
    for start in (0, 3, 6):
        first, *rest = line[start : start + 3]
        assert first is not None
        assert rest == pytest.approx([first / math.sqrt(2), first / math.sqrt(3)])
        logs = [math.log(b.ratio or 0) - math.log(c or 0) for b, c in zip(blocks[start : start + 3], line[start : start + 3], strict=True)]
        assert sum(logs) == pytest.approx(0, abs=1e-9)
