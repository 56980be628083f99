"""How long a training will take, from what this machine did before."""

from resnet_core.config import RunConfig
from resnet_core.data import load_spec
from resnet_core.models import describe
from resnet_core.runs.run import Run


def expected_speed(config: RunConfig, device: str, runs: tuple[Run, ...]) -> float | None:
    """Images per second, from the latest run on this device: the same network's own, else scaled by multiply-accumulates; None without one."""
    measured = [run for run in runs if run.images_per_second and run.device == device]
    same = [run for run in measured if run.config.model == config.model and run.dataset == config.data.dataset]
    if same:
        return same[0].images_per_second
    if not measured or measured[0].images_per_second is None:
        return None
    return measured[0].images_per_second * _macs(measured[0].config) / _macs(config)


def _macs(config: RunConfig) -> int:
    return describe(config.model, load_spec(config.data)).macs
