"""`attribute C`: what speaks for a class in one image, and what the map is worth."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from resnet_core.commands.evaluate import CHECKPOINT, data_for, require_classes
from resnet_core.commands.output import JSON_OPTION, Progress, parse_settings, say, write_json, write_table
from resnet_core.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnet_core.attribution import Attribution, Quality, SanityCheck
    from resnet_core.config import DataConfig
    from resnet_core.data import DataSpec, Split
    from resnet_core.runs import Checkpoint

METHOD = typer.Option(..., help="method by name, such as integrated_gradients; docs/attribution.md lists them")
SETTINGS = typer.Option([], "--set", metavar="KEY=VALUE", help="a setting of the method, such as steps=128 or smooth=16")
TARGET = typer.Option("own", help="class asked about: a number, a name, label, or own: what the network says")
OTHERS = 64  # images of the split that a method may compare with, and that settle the norms of random weights


def attribute(
    checkpoint: str = CHECKPOINT,
    method: str = METHOD,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    index: int = typer.Option(0, min=0, help="image, by its place in the split"),
    target: str = TARGET,
    settings: list[str] = SETTINGS,
    score: bool = typer.Option(False, "--score", help="what the map is worth: infidelity, sensitivity, deletion and insertion"),
    check: bool = typer.Option(False, "--check", help="the same map with random weights, from the head down"),
    seed: int = typer.Option(0, min=0, help="seed of what a method draws"),
    to: Path | None = typer.Option(None, help="file for the map: .npz (numbers) or .png (picture), with its settings inside"),
    as_json: bool = JSON_OPTION,
) -> None:
    """One map (C, H, W) about the normalised input by a method of Captum, and what it adds up to, in eval mode and float32."""
    from resnet_core.attribution import assess, check_randomised, get_method
    from resnet_core.attribution import attribute as ask
    from resnet_core.runs import find_checkpoint

    require_kind(to)
    get_method(method)  # before anything is read
    found_one, progress = find_checkpoint(checkpoint), Progress()
    config = data_for(found_one, dataset)
    opened = open_for(found_one, config, split)
    if index >= len(opened.images):
        raise UserError("index_out_of_range", value=index, split=split, name=config.dataset, last=len(opened.images) - 1)
    chosen = opened.images.take(_one(index))
    shared: dict[str, Any] = {
        "seed": seed, "references": opened.others, "name": opened.checkpoint.name,
        "progress": lambda done, of: progress.show(f"{done:,} of about {of:,} passes"),
    }  # fmt: skip
    wanted = target_of(target, opened.checkpoint.spec, chosen)
    (found,) = ask(opened.model, chosen.images, opened.checkpoint.spec, method, parse_settings(settings), target=wanted, **shared)
    quality = assess(opened.model, chosen.images, opened.checkpoint.spec, [found], **shared)[0] if score else None
    sanity = None
    if check:
        sanity = check_randomised(
            opened.model, chosen.images, opened.checkpoint.spec, method, found.settings, target=found.target,
            settle_on=opened.others, **shared,
        )  # fmt: skip
    progress.end()
    about = {"checkpoint": opened.checkpoint.name, "dataset": config.dataset, "split": split, "index": index}
    if to is not None:
        save(to, found, chosen.images[0], about)
    if as_json:
        write_json({**about, "label": int(chosen.labels[0]), **_facts(found), **_quality(quality), **_sanity(sanity)})
        return
    _tell(found, quality, sanity, opened.checkpoint.spec)


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A checkpoint with its network and a split; `others` are some of its images, to compare with and to settle norms on."""

    checkpoint: "Checkpoint"
    model: "nn.Module"
    images: "Split"
    others: "Tensor"


def open_for(checkpoint: "Checkpoint", config: "DataConfig", split: str) -> Opened:
    """Images for a checkpoint's network. Raises what opening the data raises, checkpoint_channels and checkpoint_classes."""
    from resnet_core.data import load_split, some_images
    from resnet_core.runs import load_model, require_channels

    spec, images = load_split(config, split)
    require_channels(checkpoint, spec.channels)
    require_classes(checkpoint, spec)
    others = images.images[some_images(len(images), OTHERS, 0)]
    return Opened(checkpoint=checkpoint, model=load_model(checkpoint), images=images, others=others)


def require_kind(file: Path | None) -> None:
    from resnet_core.attribution.saving import KINDS

    if file is not None and file.suffix.lower() not in KINDS:
        raise UserError("not_a_choice", field="to", value=file.name, choices=", ".join(f"*{kind}" for kind in KINDS))


def target_of(text: str, spec: "DataSpec", chosen: "Split") -> int | None:
    """A class by number or name, the image's label, or None for what the network says."""
    if text == "own":
        return None
    return int(chosen.labels[0]) if text == "label" else class_of(text, spec)


def class_of(text: str, spec: "DataSpec") -> int:
    if text.removeprefix("-").isdecimal():
        return int(text)
    if text not in spec.classes:
        raise UserError("unknown_name", what="class", value=text, hint=nearest(text, spec.classes))
    return spec.classes.index(text)


def save(file: Path, found: "Attribution", image: "Tensor", about: dict[str, Any]) -> None:
    from resnet_core.attribution.saving import as_npz, as_png
    from resnet_core.runs.files import write_atomically

    write_atomically(file, as_png(found, about) if file.suffix.lower() == ".png" else as_npz(found, image.numpy(), about))


def _one(index: int) -> "Tensor":
    import torch

    return torch.tensor([index])


def rows_of(values: Any) -> Any:
    """A map of one channel as rows of numbers."""
    return values[0] if len(values) == 1 else values


def _facts(found: "Attribution") -> dict[str, Any]:
    return {
        "method": found.method, "settings": found.settings, "seed": found.seed, "target": found.target, "probability": found.probability,
        "total": found.total, "completeness_delta": found.completeness_delta, "completeness_error": found.completeness_error,
        "steps": found.steps, "attribution": rows_of(found.map), "strip": found.strip,
    }  # fmt: skip


def _quality(quality: "Quality | None") -> dict[str, Any]:
    if quality is None:
        return {}
    curves = {"own": quality.own, "edges": quality.edges, "random": quality.random}
    return {
        "infidelity": quality.infidelity, "unexplained": quality.unexplained, "sensitivity": quality.sensitivity,
        "deletion": {key: one.deletion_area for key, one in curves.items()},
        "insertion": {key: one.insertion_area for key, one in curves.items()}, "verdict": quality.verdict,
    }  # fmt: skip


def _sanity(sanity: "SanityCheck | None") -> dict[str, Any]:
    if sanity is None:
        return {}
    steps = [{"part": step.part, "signed": step.signed, "absolute": step.absolute} for step in sanity.steps]
    return {"randomised": {"steps": steps, "verdict": sanity.verdict}}


def _tell(found: "Attribution", quality: "Quality | None", sanity: "SanityCheck | None", spec: "DataSpec") -> None:
    from resnet_core.attribution import QUALITY_VERDICTS, SANITY_VERDICTS

    print(f"{found.method} for class {found.target} ({spec.classes[found.target]}), probability {found.probability:.2%}")
    rows: list[tuple[str, object]] = [("total", found.total), ("completeness delta", found.completeness_delta), ("steps", found.steps)]
    rows += [(f"total of {layer.name}", layer.total) for layer in found.strip]
    if quality is not None:
        rows += [("infidelity", quality.infidelity), ("unexplained", quality.unexplained), ("sensitivity", quality.sensitivity)]
        for name, curves in (("own", quality.own), ("edges", quality.edges), ("random", quality.random)):
            rows += [(f"deletion, {name}", curves.deletion_area), (f"insertion, {name}", curves.insertion_area)]
    write_table(("what", "value"), rows)
    if quality is not None:
        say(QUALITY_VERDICTS[quality.verdict])
    if sanity is not None:
        write_table(("random down to", "signed", "sizes"), [(step.part, step.signed, step.absolute) for step in sanity.steps])
        say(SANITY_VERDICTS[sanity.verdict])
