"""`find-lr`: the learning rate at which the loss falls steepest, from a short sweep over all of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resnet_core.commands.output import JSON_OPTION, Progress, parse_settings, say, write_json, write_table
from resnet_core.commands.wish import PRESET_OPTION, RECIPE_OPTION, SET_OPTION, opened, wished
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resnet_core.config import RunConfig
    from resnet_core.training.finder import Tried

SHOWN = 20  # rows of the table


def find_lr(
    model: str | None = typer.Option(None, help="network by name, such as resnet20 or plain20"),
    dataset: str | None = typer.Option(None, help="data set by name, or image-folder:PATH"),
    preset: str | None = PRESET_OPTION,
    recipe: Path | None = RECIPE_OPTION,
    settings: list[str] = SET_OPTION,
    device: str | None = typer.Option(None, help="auto, cpu, cuda or mps"),
    low: float | None = typer.Option(None, min=1e-12, help="the first rate (default: 1e-5 for SGD, 1e-7 for Adam)"),
    high: float | None = typer.Option(None, min=1e-12, help="the last rate (default: 10 for SGD, 1 for Adam)"),
    steps: int = typer.Option(100, min=20, max=10_000, help="steps of the sweep"),
    events: bool = typer.Option(False, "--events", hidden=True, help="one JSON object per line: each step, then the finding"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Train some steps while the rate climbs exponentially (Smith 2017) and suggest where the loss falls steepest; nothing is kept."""
    from resnet_core.training.finder import RANGES, finding

    config = wished(preset, recipe, {"model": model, "dataset": dataset, "device": device, **parse_settings(settings)})
    least, most = RANGES[config.train.optimizer]
    least, most = (least if low is None else low), (most if high is None else high)
    if least >= most:
        raise UserError("out_of_range", field="high", value=most, range=f"at least {least:g}")
    progress, tried = Progress(), []
    try:
        for step in _steps(config, least, most, steps):
            tried.append(step)
            progress.show(f"step {step.step} of {steps}  rate {step.learning_rate:.2e}  loss {step.loss:.4f}")
            if events:
                write_json({"event": "step", **vars(step)}, line=True)
    except UserError as error:
        if events:
            write_json({"event": "error", "code": error.code, "values": error.values}, line=True)
        raise
    finally:
        progress.end()
    found = finding(tried)
    if events:
        write_json({"event": "end", "suggestion": found.suggestion, "exploded": found.exploded}, line=True)
    elif as_json:
        write_json({"model": config.model.model, "dataset": config.data.dataset, "optimizer": config.train.optimizer, **vars(found)})
    else:
        every = max(len(tried) // SHOWN, 1)
        write_table(("rate", "loss", "smoothed"), [(f"{t.learning_rate:.1e}", t.loss, t.smoothed) for t in tried[::every]])
        if found.suggestion is None:
            say("The loss never fell: no rate can be suggested. Try another range.")
        else:
            say(f"Steepest at {found.suggestion:.2g}: --set learning_rate={found.suggestion:.2g}")


def _steps(config: "RunConfig", low: float, high: float, steps: int) -> "Iterator[Tried]":
    """The sweep of this config's network on its training split."""
    from resnet_core.data import load_splits, normalize
    from resnet_core.models import build_model
    from resnet_core.runs.process import step_back
    from resnet_core.runs.queue import check
    from resnet_core.runs.transfer import start_weights
    from resnet_core.training import pick_device
    from resnet_core.training.device import FORMATS
    from resnet_core.training.finder import sweep, training_batches
    from resnet_core.training.freezing import freeze_all_but_head
    from resnet_core.training.optimization import make_optimizer
    from resnet_core.training.trial import plan_compute

    config, _ = check(config)
    opened(config)
    device, train = pick_device(config.train.device), config.train
    if device.type == "cpu" and os.environ.get("RESNET_NICE"):
        step_back(int(os.environ["RESNET_NICE"]))
    splits = load_splits(config.data, device=device)
    network = build_model(config.model, splits.spec, seed=train.seed, device=device)
    found = start_weights(config, splits.spec)
    if found is not None:
        network.load_state_dict(found.weights)
    if train.freeze_epochs > 0:
        freeze_all_but_head(network)
    images, labels = splits.train.images[: train.batch_size].to(device), splits.train.labels[: train.batch_size]
    plan = plan_compute(network, normalize(images, splits.spec), labels, device, train)
    network.to(memory_format=FORMATS[plan.memory_format])
    batches = training_batches(config, splits)
    yield from sweep(
        network,
        batches,
        lambda model: make_optimizer(train, model),
        low=low,
        high=high,
        steps=steps,
        plan=plan,
        clip_norm=train.clip_norm,
        freeze_statistics=train.freeze_statistics,
    )
