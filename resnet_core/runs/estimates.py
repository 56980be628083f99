"""How fast a training will be, from what this machine did before."""

from resnet_core.config import RunConfig
from resnet_core.runs.run import Run


def expected_speed(config: RunConfig, device: str, runs: tuple[Run, ...]) -> float | None:
    """Images per second of the latest run of this network on such data and this device; None where there was none."""
    same = (run for run in runs if run.device == device and run.config.model == config.model and run.dataset == config.data.dataset)
    return next((run.images_per_second for run in same if run.images_per_second), None)
