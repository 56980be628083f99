"""Weights of other projects as a checkpoint of ours: a file is read without running code in it, its tensors get our names."""

import argparse
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor

from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import DATASETS, DataSpec, load_spec
from resnet_core.data.source import resized_spec
from resnet_core.errors import UserError
from resnet_core.models import build_model, get_entry, original_spec
from resnet_core.models.entry import is_small
from resnet_core.models.foreign import FittedWeights, first_and_last, fit_weights, shortcut_option, unwrapped
from resnet_core.runs.checkpoint import save_checkpoint
from resnet_core.runs.files import is_file
from resnet_core.runs.run import IMPORTED_FROM

# Plain values that training scripts save beside their weights; none of them runs anything.
HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.float64(0).__reduce__()[0],
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "bool")),
]
PICKLED = (b"PK\x03\x04", b"\x80")  # torch.save's zip files, and plain pickles of protocol 2 and later
CODE = re.compile(r"(?:GLOBAL|Unsupported (?:global|class)) ([\w.]+)|function ([\w.]+)")
REFUSED = re.compile(r"WeightsUnpickler error:\s*(\S.*)")
# Means and standard deviations that the projects train with, by the names in their files.
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # torchvision, akamaster/pytorch_resnet_cifar10
    "cifar": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),  # kuangliu/pytorch-cifar
}
AUTO, DATASET = "auto", "dataset"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was written, for which data, and where each tensor came from. `normalisation` is a key of NORMALISATIONS, or `dataset`."""

    path: Path
    config: ModelConfig
    spec: DataSpec
    parameters: int
    normalisation: str
    fitted: FittedWeights


def import_weights(
    path: Path,
    to: Path,
    config: ModelConfig,
    *,
    dataset: str | None = None,
    image_size: int | None = None,
    normalisation: str = AUTO,
    average: bool = True,
) -> Imported:
    """Read `path`, fit it to the network of `config` on `dataset` (default: what the file was made for) and write the checkpoint `to`.

    Raises file_missing, weights_damaged, weights_unsafe, weights_unknown, weights_do_not_fit, and what the config and the data raise.
    """
    get_entry(config.model)
    theirs = read_weights(path)
    if config.option == "auto" and "option" in get_entry(config.model).settings:
        config = replace(config, option=shortcut_option(theirs))
    if dataset:
        spec = load_spec(DataConfig(dataset=dataset, image_size=image_size))
    else:
        spec = resized_spec(guessed_spec(config, theirs), image_size)
    config = replace(config, stem=_stem(config, theirs, spec))
    kind = normalisation if normalisation != AUTO else guessed_normalisation(theirs, spec)
    if kind != DATASET:
        mean, std = NORMALISATIONS[kind]
        if spec.channels != len(mean):
            raise UserError("not_a_choice", field="normalisation", value=kind, choices=f"{AUTO}, {DATASET}")
        spec = replace(spec, mean=mean, std=std)
    model = build_model(config, spec)
    fitted = fit_weights(model, theirs, source=str(path), name=config.model, average=average)
    metrics = {IMPORTED_FROM: path.name, "normalisation": kind, "fresh": list(fitted.fresh), "averaged": list(fitted.averaged)}
    save_checkpoint(
        to, fitted.weights, RunConfig(data=DataConfig(dataset=dataset or spec.name, image_size=image_size), model=config), spec, metrics
    )
    parameters = sum(p.numel() for p in model.parameters())
    return Imported(path=to, config=config, spec=spec, parameters=parameters, normalisation=kind, fitted=fitted)


# -- reading -------------------------------------------------------------------------------------------------------------------------------


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state_dict of a .pth, .th, .pt or .safetensors file, by its first bytes and whatever its name. No code in it is run."""
    if not is_file(path):
        raise UserError("file_missing", path=path)
    try:
        start = _beginning(path)
    except OSError as error:
        raise UserError("weights_damaged", path=path, reason=error.strerror or str(error)) from error
    if not start:
        raise UserError("weights_damaged", path=path, reason="the file is empty")
    named = start[8:9] == b"{"  # a .safetensors file: eight bytes of length, then JSON
    found: Any = _unpickled(path) if start.startswith(PICKLED) and not named else _safetensors(path)
    weights = unwrapped(found)
    if weights is None:
        raise UserError("weights_unknown", path=path, reason=_what_it_is(found))
    return weights


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return parse_safetensors(path.read_bytes())
    except (SafetensorError, OSError, ValueError, json.JSONDecodeError) as error:
        raise UserError("weights_damaged", path=path, reason=_first_line(error)) from error


def _unpickled(path: Path) -> Any:
    try:
        # Warnings tell of protocols that others pickled with.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if match := CODE.search(str(error)):
            raise UserError("weights_unsafe", path=path, reason=match[1] or match[2]) from error
        found = REFUSED.search(str(error))  # around it stands advice to run the file's code
        raise UserError("weights_damaged", path=path, reason=found[1] if found else _first_line(error)) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:  # as bytes may be wrong
        cut = _beginning(path).startswith(PICKLED[0]) and not zipfile.is_zipfile(path)  # its table of contents stood at the end
        raise UserError("weights_damaged", path=path, reason="the end of the file is missing" if cut else _first_line(error)) from error


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(9)


def _what_it_is(found: object) -> str:
    if not isinstance(found, Mapping):
        return type(found).__name__
    return ", ".join(str(key) for key in list(found)[:5]) or "{}"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


# -- what the file was made for --------------------------------------------------------------------------------------------------------------


def _stem(config: ModelConfig, theirs: Mapping[str, Tensor], spec: DataSpec) -> str:
    """Of a network that was made for these channels and classes, the file's, whose first convolution has a side of 3 or 7, where the size
    of the images would choose another. One that is adapted to other data gets the stem for them."""
    if config.stem != "auto" or get_entry(config.model).family not in ("resnet", "plain"):
        return config.stem
    first, last = first_and_last(build_model(config, original_spec(config.model), seed=None, device="meta"), theirs)
    if first is None or last is None or first.ndim != 4 or (first.shape[1], len(last)) != (spec.channels, len(spec.classes)):
        return "auto"
    found = {3: "small", 7: "imagenet"}.get(first.shape[-1], "auto")
    return "auto" if found == ("small" if is_small(config, spec) else "imagenet") else found


def guessed_spec(config: ModelConfig, theirs: Mapping[str, Tensor]) -> DataSpec:
    """Channels by the first convolution, classes by the last linear layer, 32 px where a ResNet starts with a 3x3 convolution."""
    usual = original_spec(config.model)
    first, last = first_and_last(build_model(config, usual, seed=None, device="meta"), theirs)
    channels = usual.channels if first is None or first.ndim != 4 else first.shape[1]
    classes = len(usual.classes) if last is None else len(last)
    side = usual.height
    if first is not None and get_entry(config.model).family in ("resnet", "plain"):
        side = 32 if first.shape[-1] == 3 else 224
    names = tuple(str(number) for number in range(classes))
    for known in ("cifar10", "cifar100"):
        own = DATASETS[known].spec
        if (channels, side, classes) == (own.channels, own.height, len(own.classes)):
            return own
    half = (0.5,) * channels
    return DataSpec(name="imagenet", channels=channels, height=side, width=side, classes=names, mean=half, std=half)


def guessed_normalisation(theirs: Mapping[str, Tensor], spec: DataSpec) -> str:
    """By the names in the file: kuangliu's networks have four stages and a `linear`; without colours it is the data set's own."""
    if spec.channels != 3:
        return DATASET
    kuangliu = any(name.startswith("linear.") for name in theirs) and any(name.startswith("layer4.") for name in theirs)
    return "cifar" if kuangliu else "imagenet"
