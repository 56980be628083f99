"""What a network costs before it answers: counted and weighed, not estimated."""

from dataclasses import dataclass

from resnet_core.models import describe
from resnet_core.runs import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`macs` are multiply-accumulates for one image, `bytes` the size of the checkpoint's file."""

    parameters: int
    macs: int
    bytes: int


def cost(checkpoint: Checkpoint) -> Cost:
    found = describe(checkpoint.config.model, checkpoint.spec)
    return Cost(parameters=found.parameters, macs=found.macs, bytes=checkpoint.path.stat().st_size)
