"""What a network costs before it answers: counted and weighed, not estimated."""

from dataclasses import dataclass

from torch import nn

from resnet_core.models.describe import describe_layers
from resnet_core.runs import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`macs` are multiply-accumulates for one image, `bytes` the size of the checkpoint's file."""

    parameters: int
    macs: int
    bytes: int


def cost(model: nn.Module, checkpoint: Checkpoint) -> Cost:
    spec = checkpoint.spec
    rows = describe_layers(model, (spec.channels, spec.height, spec.width))
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=sum(row.macs for row in rows),
        bytes=checkpoint.path.stat().st_size,
    )
