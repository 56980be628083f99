"""`describe NAME`: a network of the table, or that of a checkpoint, as a table."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import typer

from resnet_core.commands.output import JSON_OPTION, parse_settings, plain, say, write_json, write_table
from resnet_core.errors import UserError

if TYPE_CHECKING:
    from resnet_core.config import ModelConfig
    from resnet_core.data import DataSpec
    from resnet_core.models.diagram import Part


def describe(
    model: str = typer.Argument(help="a network by name, or a checkpoint: a run, a name under checkpoints/, a file"),
    dataset: str | None = typer.Option(
        None, help="adapt the network to these data; without it, a checkpoint's own, or the original (ImageNet; 6n+2: CIFAR-10)"
    ),
    option: str | None = typer.Option(None, help="shortcut option: auto, A, B, C"),
    size: int | None = typer.Option(None, min=1, max=4096, help="side of the image in px, any; without it, the data's or the original's"),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="any setting of the network, such as version=v2 or width=0.5"
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Layers with output shapes, parameters, multiply-accumulates (MACs) for one image and receptive fields; no weight is allocated.

    With --json also how people draw it: stem, stages, blocks and head, each with its building block as in He et al. 2015, table 1.
    """
    from resnet_core.models import describe as describe_model

    config, spec = _network(model, dataset, {**({"option": option} if option else {}), **parse_settings(settings)})
    if size is not None:
        spec = replace(spec, height=size, width=size)
    described = describe_model(config, spec)
    if as_json:
        parts = [{**plain(part), "notation": part.notation} for part in described.parts]
        write_json({**plain(described), "input": described.input_shape, "parts": parts})
        return
    write_table(
        ("layer", "kind", "output", "parameters", "MACs", "sees"),
        [(r.name, r.kind, r.output_shape, r.parameters, r.macs, _side(r.receptive_field)) for r in described.layers],
    )
    write_table(
        ("part", "output", "building blocks", "parameters", "MACs"),
        [(_part_name(part), part.output_shape, part.notation, part.parameters, part.macs) for part in described.parts],
    )
    say(
        f"{model} on {spec.channels} x {spec.height} x {spec.width}, {len(spec.classes)} classes: {described.parameters:,} parameters, {described.macs:,} MACs, {described.flops:,} FLOPs"
    )


def _network(name: str, dataset: str | None, changes: Mapping[str, str]) -> "tuple[ModelConfig, DataSpec]":
    """Of a name that is both, the table's network."""
    from resnet_core.config import RunConfig
    from resnet_core.data import load_spec
    from resnet_core.models import get_entry, model_names, original_spec
    from resnet_core.runs import find_checkpoint, shipped_names

    try:
        get_entry(name)
    except UserError as unknown:
        try:
            checkpoint = find_checkpoint(name)
        except UserError as error:
            networks = model_names()
            meant = get_close_matches(name, [*networks, *shipped_names()], n=1)
            raise unknown if error.code == "checkpoint_missing" and meant and meant[0] in networks else error from None
        own, spec = asdict(checkpoint.config.model), checkpoint.spec
    else:
        own, spec = {"model": name}, original_spec(name)
    config = RunConfig.from_flat({**own, **changes})
    if dataset is not None:
        spec = load_spec(replace(config.data, dataset=dataset))
    return config.model, spec


def _side(receptive_field: int | None) -> str:
    """Side of the square of pixels that one position depends on."""
    return "all" if receptive_field is None else f"{receptive_field} px"


def _part_name(part: "Part") -> str:
    return f"stage {part.number}" if part.role == "stage" else part.name
