"""Run a training here, as the worker does."""

from collections.abc import Callable
from typing import Any

from resnet_core.config import RunConfig
from resnet_core.runs import Run, Store
from resnet_core.runs.worker import execute
from resnet_core.training import Event, StepDone

Small = Callable[..., RunConfig]


def claimed(store: Store, config: RunConfig, **options: Any) -> str:
    run = store.create(config, "cpu", **options).run
    assert store.claim("cpu", run) == run
    return run


def again(store: Store, run: str, **options: Any) -> Run:
    store.requeue(run)
    assert store.claim("cpu", run) == run
    return execute(store, run, **options)


def at_step(number: int, action: Callable[[], object]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == number:
            action()

    return listen


def claimed_and_ended(store: Store, config: RunConfig) -> str:
    run = claimed(store, config)
    execute(store, run)
    return run
