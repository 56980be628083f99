"""How much memory a training process takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.long
def test_a_training_on_the_whole_of_mnist_stays_below_one_and_a_half_gigabytes(
    full_data: Path, launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch, its validation and the test at the end, as the process itself measured its peak."""
    if not (full_data / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {full_data}")
    monkeypatch.setenv("RESNET_DATA", str(full_data))
    process = launch("train", "--json", "--model", "resnet20", "--dataset", "mnist", "--epochs", "1", "--device", "cpu")
    end = process.until(event="end")
    assert process.end() == 0
    assert 300e6 < end["peak_memory"] < 1.5e9
