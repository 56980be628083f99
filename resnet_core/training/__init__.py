"""Training as an iterator of events, evaluation, schedules, devices."""

from resnet_core.training.device import (
    ComputePlan,
    available_devices,
    device_memory,
    device_name,
    peak_memory,
    pick_device,
    require_candidates,
)
from resnet_core.training.evaluate import Evaluation, evaluate, predict_batches, score
from resnet_core.training.events import BlocksMeasured, EpochDone, Event, Noted, RunStarted, StepDone, Validating
from resnet_core.training.loop import Training, train
from resnet_core.training.optimization import schedule_curve
from resnet_core.training.streams import epoch_order, steps_per_epoch

__all__ = [
    "BlocksMeasured", "ComputePlan", "EpochDone", "Evaluation", "Event", "Noted", "RunStarted", "StepDone", "Training", "Validating",
    "available_devices", "device_memory", "device_name", "epoch_order", "evaluate", "peak_memory", "pick_device", "predict_batches", "require_candidates",
    "schedule_curve", "score", "steps_per_epoch", "train",
]  # fmt: skip
