"""How often a page looks at what is going on."""

import os
from collections.abc import Iterable

from resnet_core.runs import Run

OFTEN, SELDOM = 1.0, 2.0  # seconds
FEW_CORES = 4


def seconds_between_looks(runs: Iterable[Run]) -> float:
    """At trainings. A page that draws takes cores, its browser too: where one of them needs all of a few, it is looked at half as often."""
    shares_cores = (os.cpu_count() or 1) <= FEW_CORES and any(run.is_going_on and run.device == "cpu" for run in runs)
    return SELDOM if shares_cores else OFTEN
