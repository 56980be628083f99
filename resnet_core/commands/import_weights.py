"""`import-weights FILE`: weights of other projects become a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from resnet_core.commands.output import JSON_OPTION, parse_settings, say, write_json
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.runs.importing import Imported


def import_weights(
    file: Path = typer.Argument(metavar="FILE", help="a state_dict: .pth, .th, .pt or .safetensors; no code in it is run"),
    model: str = typer.Option(..., "--as", metavar="MODEL", help="the network that the weights belong to, such as resnet20"),
    to: Path = typer.Option(..., "--to", metavar="OUT", help="the checkpoint to write, OUT.safetensors"),
    option: str = typer.Option("auto", help="shortcut option: A, B, C; auto: as the file has it"),
    dataset: str | None = typer.Option(None, help="the data to adapt the network to; without it, those that the file was made for"),
    normalisation: str = typer.Option("auto", help="imagenet, cifar, dataset; auto: as the project trains whose names the file has"),
    fresh_stem: bool = typer.Option(
        False, "--fresh-stem", help="draw a first convolution for other channels afresh instead of averaging it"
    ),
    settings: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="any setting of the network or image_size"),
    as_json: bool = JSON_OPTION,
) -> None:
    """torchvision's networks, and the CIFAR ResNets of kuangliu/pytorch-cifar and akamaster/pytorch_resnet_cifar10, as a checkpoint."""
    from resnet_core.config import RunConfig
    from resnet_core.runs.importing import AUTO, DATASET, NORMALISATIONS
    from resnet_core.runs.importing import import_weights as run_import

    choices = (AUTO, *NORMALISATIONS, DATASET)
    if normalisation not in choices:
        raise UserError("not_a_choice", field="normalisation", value=normalisation, choices=", ".join(choices))
    config = RunConfig.from_flat({"model": model, "option": option, **parse_settings(settings)})
    target = to if to.suffix == ".safetensors" else to.with_name(f"{to.name}.safetensors")
    done = run_import(
        file,
        target,
        config.model,
        dataset=dataset,
        image_size=config.data.image_size,
        normalisation=normalisation,
        average=not fresh_stem,
    )
    if as_json:
        write_json(_document(done))
    else:
        _tell(done)


def _document(done: "Imported") -> dict[str, object]:
    fitted = done.fitted
    return {
        "model": done.config.model,
        "option": done.config.option,
        "parameters": done.parameters,
        "missing": fitted.fresh,
        "unexpected": fitted.unused,
        "kept": len(fitted.kept),
        "averaged": fitted.averaged,
        "resampled": fitted.resampled,
        "not_finite": fitted.not_finite,
        "normalisation": done.normalisation,
        "input": (done.spec.channels, done.spec.height, done.spec.width),
        "classes": len(done.spec.classes),
        "checkpoint": str(done.path),
    }


def _tell(done: "Imported") -> None:
    fitted, spec = done.fitted, done.spec
    say(
        f"{done.config.model} on {spec.channels} x {spec.height} x {spec.width}, {len(spec.classes)} classes, {done.parameters:,} parameters: "
        f"{len(fitted.kept)} tensors kept, normalised as {done.normalisation}."
    )
    for names, what in (
        (fitted.averaged, "averaged over channels"),
        (fitted.resampled, "resampled to another grid of patches"),
        (fitted.fresh, "drawn afresh, to be trained"),
        (fitted.unused, "in the file and not needed"),
        (fitted.not_finite, "holds nan or infinity"),
    ):
        if names:
            say(f"{what}: {', '.join(names)}")
    say(f"written to {done.path}")
