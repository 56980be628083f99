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
    model: str | None = typer.Option(None, "--as", metavar="MODEL", help="the network that the weights belong to, such as resnet20"),
    to: Path | None = typer.Option(
        None, "--to", metavar="OUT", help="the checkpoint to write, OUT.safetensors; without it, a run of the store"
    ),
    name: str | None = typer.Option(None, help="what to call the run; without it, the file's name"),
    option: str = typer.Option("auto", help="shortcut option: A, B, C; auto: as the file has it"),
    dataset: str | None = typer.Option(None, help="the data to adapt the network to; without it, those that the file was made for"),
    normalisation: str = typer.Option("auto", help="imagenet, cifar, dataset; auto: as the project trains whose names the file has"),
    fresh_stem: bool = typer.Option(
        False, "--fresh-stem", help="draw a first convolution for other channels afresh instead of averaging it"
    ),
    settings: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="any setting of the network or image_size"),
    as_json: bool = JSON_OPTION,
) -> None:
    """torchvision's networks, and the CIFAR ResNets of kuangliu/pytorch-cifar and akamaster/pytorch_resnet_cifar10, as a run or a checkpoint.

    A run is on every page at once. A checkpoint of this project needs no `--as`.
    """
    from resnet_core.config import RunConfig
    from resnet_core.runs import Store
    from resnet_core.runs.adopting import adopt_weights
    from resnet_core.runs.files import is_file
    from resnet_core.runs.importing import AUTO, DATASET, NORMALISATIONS
    from resnet_core.runs.importing import import_weights as run_import

    choices = (AUTO, *NORMALISATIONS, DATASET)
    if normalisation not in choices:
        raise UserError("not_a_choice", field="normalisation", value=normalisation, choices=", ".join(choices))
    given = {
        "--as": model,
        "--dataset": dataset,
        "--option": option != AUTO,
        "--normalisation": normalisation != AUTO,
        "--fresh-stem": fresh_stem,
        "--set": settings,
    }
    if is_file(file) and _is_ours(file):
        if said := [name for name, value in given.items() if value]:
            raise UserError("checkpoint_says_itself", path=file, given=", ".join(said))
        if to is not None:
            _copy(file, _target(to), as_json=as_json)
            return
    config = RunConfig.from_flat({**({"model": model} if model else {}), "option": option, **parse_settings(settings)})
    size, average = config.data.image_size, not fresh_stem
    if to is None:
        wanted = config.model if model else None
        adopted = adopt_weights(
            Store(), file, wanted, name=name, dataset=dataset, image_size=size, normalisation=normalisation, average=average
        )
        _report(adopted.imported, {"run": adopted.run.run}, f"Run {adopted.run.run} in {adopted.run.folder}", as_json=as_json)
        return
    if model is None:
        raise UserError("weights_need_a_network", path=file)
    done = run_import(file, _target(to), config.model, dataset=dataset, image_size=size, normalisation=normalisation, average=average)
    _report(done, {"checkpoint": str(done.path)}, f"written to {done.path}", as_json=as_json)


def _is_ours(file: Path) -> bool:
    from resnet_core.runs import read_checkpoint

    try:
        read_checkpoint(file)
    except UserError as error:
        return error.code not in ("checkpoint_foreign", "checkpoint_damaged")
    return True


def _target(to: Path) -> Path:
    return to if to.suffix == ".safetensors" else to.with_name(f"{to.name}.safetensors")


def _copy(file: Path, target: Path, *, as_json: bool) -> None:
    """A checkpoint of ours has nothing to be fitted: what it says of itself stays with it."""
    from resnet_core.runs import load_model, read_checkpoint
    from resnet_core.runs.files import write_atomically

    load_model(read_checkpoint(file))  # whole, and of the network that it says
    write_atomically(target, file.read_bytes())
    _report(None, {"checkpoint": str(target)}, f"written to {target}", as_json=as_json)


def _report(done: "Imported | None", place: dict[str, str], last: str, *, as_json: bool) -> None:
    """What became of the tensors, unless the file was one of ours, and where they are now."""
    if as_json:
        write_json({**(_document(done) if done is not None else {}), **place})
        return
    if done is not None:
        _tell(done)
    say(last)


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
