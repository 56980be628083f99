"""The benchmarks time what they say, and looking costs what was promised, with room for a busy machine."""

import pytest

from resnet_core.benchmarks import BENCHMARKS, run_benchmark
from resnet_core.errors import UserError


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_looking_inside_costs_little(name: str) -> None:
    result = run_benchmark(name, depth=20, images=32, rounds=9)
    assert result.ratio == pytest.approx(float(result.ours["seconds"]) / float(result.other["seconds"]))
    assert 0.6 < result.ratio < 2 * result.target  # far less than a bare pass would mean that something else was timed


def test_an_unknown_benchmark_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="known: inspect, split"):
        run_benchmark("everything")
