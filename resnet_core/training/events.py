"""What happens in a training, as facts. The training neither prints nor saves; whoever asks for the next event decides."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_core.inspection.residual import BlockStatistics


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """Before the first step, and again after a resume (`step` is then where it goes on).

    `timings` is what precision, memory order, convolution and kernels were chosen from: the name of each plan -> seconds per step; empty where they
    were given.
    """

    step: int
    epochs: int
    steps_per_epoch: int
    total_steps: int
    parameters: int
    trainable: int
    device: str
    precision: str
    memory_format: str
    convolution: str = "direct"
    kernels: str = "torch"
    timings: dict[str, float] = field(default_factory=dict)
    train_images: int
    valid_images: int


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """One optimizer update. `loss` is the batch's mean; gradient norms are L2, before clipping, by part (stem, stages.0, ..., head)."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    images_per_second: float
    stage_gradient_norms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Validating:
    """A batch of the validation split was predicted; a place where a pause or stop can take effect."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """One pass. Train loss and accuracy are means over the pass, as the weights changed and with augmentation."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float
    images_per_second: float
    seconds: float
    best: bool
    trainable: int
    block_statistics: "tuple[BlockStatistics, ...]" = ()


@dataclass(frozen=True, kw_only=True)
class BlocksMeasured:
    """Residual against shortcut in every block at this step, on a fixed batch of validation images in eval mode."""

    step: int
    block_statistics: "tuple[BlockStatistics, ...]"


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Something a person should know, as a code of `resnet_core.errors.NOTES` and its values."""

    code: str
    values: dict[str, object] = field(default_factory=dict)


Event = RunStarted | StepDone | Validating | EpochDone | BlocksMeasured | Noted
