"""A training that is broken off at any kind of place and resumed ends with the same bits as one that was not."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_core.data.spec import Splits
from resnet_core.training import BlocksMeasured, EpochDone, Event, RunStarted, StepDone, Training, Validating
from resnet_core.training.native import available

RECIPES: dict[str, dict[str, Any]] = {
    "sgd, onecycle": {},
    "adam, step": {"optimizer": "adam", "schedule": "step", "step_epochs": 1},
    "adamw, multistep, warm-up": {"optimizer": "adamw", "schedule": "multistep", "milestones": "0.4,0.8", "warmup_epochs": 0.5},
    "cosine, warm-up over an epoch": {"schedule": "cosine", "warmup_epochs": 1.25},
    "plateau": {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.3, "gamma": 0.5, "epochs": 3},
    "plateau, warm-up": {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.3, "warmup_epochs": 1.5, "epochs": 3},
    "constant, decay of matrices": {"schedule": "constant", "decay_all": False, "weight_decay": 0.1},
    "average": {"ema_decay": 0.7},
    "frozen, one schedule": {"freeze_epochs": 1},
    "frozen, then a rate of its own": {"freeze_epochs": 1, "unfreeze_learning_rate": 0.01, "optimizer": "adam", "ema_decay": 0.9},
    "frozen, statistics free": {"freeze_epochs": 2, "freeze_statistics": False, "epochs": 3},
    "mixup": {"mixup": 0.8},
    "augmentation": {"rotation": 15, "translate": 0.1, "elastic": 1, "thickness": 1, "crop_padding": 1, "erase_p": 0.5, "cutout": 3},
    "stochastic depth, clip, smoothing": {"stochastic_depth": 0.4, "clip_norm": 0.5, "label_smoothing": 0.1},
    "early stopping": {"patience": 1, "epochs": 10, "schedule": "constant", "learning_rate": 1e-7},
    "probes": {"probe_every": 1},
    "bfloat16, channels last": {"precision": "bfloat16", "memory_format": "channels_last"},
    "winograd": {"convolution": "winograd", "memory_format": "channels_last", "width": 4.0},
    "our kernels": {"precision": "bfloat16", "memory_format": "channels_last", "kernels": "native" if available() else "torch"},
    "plain, v2": {"model": "plain8", "version": "v2"},
}
CLOCK = {"seconds", "images_per_second"}


def packed(training: Training) -> bytes:
    file = io.BytesIO()
    torch.save(training.state_dict(), file)
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
    return state


def facts(event: Event) -> tuple[object, ...]:
    if isinstance(event, StepDone):
        return event.step, event.epoch, event.loss, event.learning_rate, event.stage_gradient_norms
    if isinstance(event, EpochDone):
        return (
            event.epoch,
            event.train_loss,
            event.train_accuracy,
            event.valid_loss,
            event.valid_accuracy,
            event.best,
            event.block_statistics,
        )
    return (event,)


def ended(training: Training) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    state = {f"model.{name}": tensor for name, tensor in training.model.state_dict().items()} | dict(training.weights())
    return state, [{key: value for key, value in row.items() if key not in CLOCK} for row in training.history]


def assert_same(a: Any, b: Any) -> None:
    """Bit for bit, through dicts, lists and tensors."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            if key not in CLOCK | {"epoch_seconds"}:
                assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


def places(events: list[Event]) -> list[int]:
    """One event of each kind in the first two epochs: the beginning, in the middle of an epoch, its last step, in the validation, its end."""
    wanted: dict[tuple[object, ...], int] = {}
    epoch = 1
    for number, event in enumerate(events):
        mark = event.step % 4 in (0, 2) and event.step % 4 if isinstance(event, StepDone | BlocksMeasured) else None
        if mark is not False and epoch <= 2:
            wanted.setdefault((type(event), epoch, mark), number)
        epoch += isinstance(event, EpochDone)
    return list(wanted.values())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_resumed_training_ends_with_the_same_bits(
    splits: Splits, config: Callable[..., Any], start: Callable[..., Training], recipe: dict[str, Any]
) -> None:
    recipe = {"epochs": 2, **recipe}
    unbroken = start(**recipe)
    events, saved = [], []
    for event in unbroken.events():
        events.append(event)
        saved.append(packed(unbroken))
    final = packed(unbroken)
    where = places(events)
    kinds = {type(events[number]) for number in where}
    assert kinds == {RunStarted, StepDone, Validating, EpochDone, BlocksMeasured}
    for number in where:
        resumed = Training(config(**recipe), splits, device=torch.device("cpu"), resume=unpacked(saved[number]))
        assert_same(unpacked(packed(resumed)), unpacked(saved[number]))
        again = list(resumed.events())
        state, history = ended(resumed)
        label = f"broken off at {type(events[number]).__name__}, event {number}"
        expected, expected_history = ended(unbroken)
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items()), label
        assert history == expected_history, label
        assert_same(unpacked(packed(resumed)), unpacked(final))
        steps = [[facts(e) for e in some if isinstance(e, StepDone | EpochDone)] for some in (events[number + 1 :], again)]
        assert steps[0] == steps[1], label


def test_a_finished_training_resumes_to_its_end(splits: Splits, config: Any, start: Any) -> None:
    training = start(epochs=1)
    list(training.events())
    resumed = Training(config(epochs=1), splits, device=torch.device("cpu"), resume=unpacked(packed(training)))
    events = list(resumed.events())
    assert [type(e) for e in events] == [RunStarted]
    assert isinstance(events[0], RunStarted)
    assert events[0].step == 4


def test_the_state_is_no_window_on_the_running_training(splits: Splits, config: Any, start: Any) -> None:
    """Whoever resumes in the same process from a state that was not saved first gets numbers of its own."""
    training = start()
    events = training.events()
    for _ in range(4):
        next(events)
    state = unpacked(packed(training))
    resumed = Training(config(), splits, device=torch.device("cpu"), resume=state)
    kept = packed(resumed)
    list(events)
    assert_same(unpacked(packed(resumed)), unpacked(kept))


def test_a_resumed_run_keeps_its_plan(splits: Splits, config: Any) -> None:
    """Which precision is fastest is measured once: a second measurement could fall otherwise and change the bits."""
    automatic = config(precision="auto", memory_format="auto")
    training = Training(automatic, splits, device=torch.device("cpu"))
    assert len(training.plan.timings) > 1
    state = unpacked(packed(training))
    state["plan"] |= {"precision": "float32", "memory_format": "channels_last", "timings": {"float32/channels_last": 1.0}}
    resumed = Training(automatic, splits, device=torch.device("cpu"), resume=state)
    assert (resumed.plan.precision, resumed.plan.memory_format, resumed.plan.timings) == (
        "float32",
        "channels_last",
        {"float32/channels_last": 1.0},
    )
