"""A finished run becomes a checkpoint that comes with the project: weights with their history, a model card and a recipe."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from resnet_core.calibration import fit_temperature
from resnet_core.config import RunConfig
from resnet_core.data import load_split
from resnet_core.errors import UserError
from resnet_core.familiarity import ship_familiarity
from resnet_core.models import build_model
from resnet_core.recipes import recipe_text
from resnet_core.runs.admission import RUN_ID
from resnet_core.runs.checkpoint import (
    SUFFIX,
    Checkpoint,
    halved,
    load_model,
    load_weights,
    read_checkpoint,
    save_checkpoint,
    stored_weights,
)
from resnet_core.runs.metrics import Steps, read_blocks, read_epochs, read_steps
from resnet_core.runs.run import Run
from resnet_core.runs.store import Store
from resnet_core.statistics import wilson_interval
from resnet_core.training.device import ComputePlan
from resnet_core.training.evaluate import evaluate

KEPT_STEPS = 400  # of the loss curve, evenly spaced
CARD = """# {name}

`{model}` on {dataset}: **{accuracy:.2%}** of {images:,} test images right (loss {loss:.4f}), {parameters:,} parameters.

| | |
|---|---|
| Trained on | {train_images:,} images of {dataset}'s training split; {valid_images:,} others for validation |
| Tested on | {dataset}'s official test split, {images:,} images, read once, after the last epoch |
| Result | weights of the {tested} epoch: test accuracy {accuracy:.4f} (95% interval {low:.2%} to {high:.2%}, one seed), test loss {loss:.4f}, validation accuracy {valid:.4f} |
| Settings that differ from the defaults | {settings} |
| Time | {seconds:.0f} s on {device}, {computed} |
| Weights' SHA-256 | `{sha256}` |
{stored}
**Train it again**

```
python -m resnet_core train --recipe {folder}/recipes/{name}.toml
```

With the same versions, device and precision this gives the same weights, byte for byte.

**Meant for** looking inside: residual branch against shortcut in every block, gradients, comparing it with its twin. **Not meant for**
decisions about people: it knows single pictures as {dataset} has them, and nothing else.

**Licence.** The weights are shared under the project's licence. {data_licence}
"""
HALF = """| Stored | convolutions and the head in float16: the accuracy and the loss above were measured again with these; as trained, in float32 (whose SHA-256 this is), {accuracy:.4f} |
"""
DATA_LICENCES = {
    "mnist": "MNIST: Yann LeCun and Corinna Cortes, Creative Commons Attribution-Share Alike 3.0.",
    "mnist-mini": "MNIST: Yann LeCun and Corinna Cortes, Creative Commons Attribution-Share Alike 3.0.",
    "fashion-mnist": "Fashion-MNIST: Zalando SE, MIT licence.",
    "sketch-digits": "MNIST: Yann LeCun and Corinna Cortes, Creative Commons Attribution-Share Alike 3.0. "
    "Pen strokes: Ethem Alpaydin and Fevzi Alimoglu, UCI Machine Learning Repository, Creative Commons Attribution 4.0.",
    "cifar10-jpg": "CIFAR-10: Alex Krizhevsky, 2009; its authors state no licence.",
}


def ship(store: Store, run: str, name: str, folder: Path, *, half: bool = False) -> Path:
    """Write NAME.safetensors, NAME.md and recipes/NAME.toml into `folder`; raises run_not_finished, and bad_name for a name with more than
    small letters, digits and dashes.

    With `half` the weights are stored as `halved` gives them, and the accuracy that is told is measured again with these.
    """
    found = store.run(run)
    if found.status != "finished":
        raise UserError("run_not_finished", run=run, status=found.status)
    if not found.facts:  # imported, or cut out of another network: no training of its own to tell of
        raise UserError("run_not_finished", run=run, status="not trained here")
    if not RUN_ID.fullmatch(name):
        raise UserError("bad_name", value=name)
    checkpoint = read_checkpoint(found.folder / f"{found.result['tested']}{SUFFIX}")
    history = {
        "epochs": [vars(row) for row in read_epochs(store, run)],
        "steps": _thinned(read_steps(store, run)),
        "blocks": {step: [asdict(block) for block in blocks] for step, blocks in read_blocks(store, run).items()},
    }
    target = folder / f"{name}{SUFFIX}"
    config, spec = _portable(checkpoint.config), replace(checkpoint.spec, name=_without_place(checkpoint.spec.name))
    weights, metrics = load_weights(checkpoint), {**checkpoint.metrics, "history": history}
    if half:
        weights = halved(weights)
        metrics |= _tested(checkpoint, weights)
    save_checkpoint(target, weights, config, spec, metrics)
    complete(target)
    (folder / f"{name}.md").write_text(_card(found, name, folder, metrics, half), encoding="utf-8")
    write_recipe(folder, name, config)
    return target


def _tested(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Accuracy and loss of these weights on the test split."""
    model = build_model(checkpoint.config.model, checkpoint.spec, seed=None)
    model.load_state_dict(weights)
    spec, split = load_split(checkpoint.config.data, "test")
    measured = evaluate(model.eval(), split, spec)
    return {"test_accuracy": measured.accuracy, "test_loss": measured.loss}


def write_recipe(folder: Path, name: str, config: RunConfig) -> None:
    """recipes/NAME.toml, which trains the checkpoint again."""
    (folder / "recipes").mkdir(exist_ok=True)
    comment = f"Trains {name} again: python -m resnet_core train --recipe {folder.resolve().name}/recipes/{name}.toml"
    (folder / "recipes" / f"{name}.toml").write_text(recipe_text(config, comment=comment), encoding="utf-8")


def complete(file: Path) -> None:
    """What judging sketches needs: the temperature of a network trained before trainings fitted one, and beside it what it knows of digits."""
    checkpoint = read_checkpoint(file)
    if "temperature" not in checkpoint.metrics:
        spec, valid = load_split(checkpoint.config.data, "valid")
        logits = evaluate(load_model(checkpoint), valid, spec).logits
        metrics = {**checkpoint.metrics, "temperature": fit_temperature(logits, valid.labels)}
        save_checkpoint(file, stored_weights(checkpoint), checkpoint.config, checkpoint.spec, metrics)
        checkpoint = read_checkpoint(file)
    ship_familiarity(checkpoint, load_model(checkpoint))


def _portable(config: RunConfig) -> RunConfig:
    """Where the data lay on the machine that trained is nobody else's business."""
    return replace(config, data=replace(config.data, dataset=_without_place(config.data.dataset)))


def _without_place(dataset: str) -> str:
    """ "kind:/home/ada/strokes.gz" -> "kind:strokes.gz"; other names as they are."""
    kind, separator, place = dataset.partition(":")
    return f"{kind}{separator}{Path(place).name}"


def _thinned(steps: Steps) -> dict[str, Any]:
    kept = np.unique(np.linspace(0, max(len(steps) - 1, 0), KEPT_STEPS).round().astype(int))[: len(steps)]
    return {
        "step": [steps.step[i] for i in kept],
        "loss": [round(steps.loss[i], 5) for i in kept],
        "learning_rate": [float(f"{steps.learning_rate[i]:.5g}") for i in kept],
        "gradient_norms": {part: [float(f"{norms[i]:.4g}") for i in kept] for part, norms in steps.gradient_norms.items()},
    }


def _card(run: Run, name: str, folder: Path, metrics: Mapping[str, Any], half: bool) -> str:
    changed = changed_settings(_portable(run.config))
    dataset = _without_place(run.dataset)
    result, facts = run.result, run.facts
    interval = wilson_interval(round(metrics["test_accuracy"] * result["test_images"]), result["test_images"])
    return CARD.format(
        name=name,
        folder=folder.resolve().name,
        model=run.model_name,
        dataset=dataset,
        low=interval.low,
        high=interval.high,
        accuracy=metrics["test_accuracy"],
        loss=metrics["test_loss"],
        stored=HALF.format(accuracy=result["test_accuracy"]) if half else "",
        images=result["test_images"],
        tested=result["tested"],
        valid=metrics["valid_accuracy"],
        parameters=facts["parameters"],
        train_images=facts["train_images"],
        valid_images=facts["valid_images"],
        settings=", ".join(f"{key} {value}" for key, value in changed.items()) or "none",
        seconds=result["seconds"],
        device=facts["device"],
        computed=ComputePlan.of(facts).name.replace("/", " "),
        sha256=result["weights_sha256"],
        data_licence=DATA_LICENCES.get(dataset.partition(":")[0], "The data set has a licence of its own."),
    )


def changed_settings(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults."""
    defaults = RunConfig().flat()
    return {key: value for key, value in config.flat().items() if value != defaults[key]}
