"""A network in numbers: every layer with its shape, parameters, multiply-accumulates and receptive field, without allocating a weight."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from torch import nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models.catalog import build_model
from resnet_core.models.diagram import Block, Part, parts_of
from resnet_core.models.tracing import Step, trace

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """`flops` counts a multiply-accumulate as two operations, as torch.utils.flop_counter does; papers print the multiply-accumulates.

    `layers` are in the order of the forward pass, `parts` how people draw them. `linear_parameters` are those of linear layers,
    `unused_parameters` those that no layer of the pass reads (auxiliary heads, which only training has).
    """

    model: str
    input_shape: tuple[int, ...]
    classes: int
    parameters: int
    linear_parameters: int
    unused_parameters: int
    macs: int
    flops: int
    layers: tuple[Step, ...]
    parts: tuple[Part, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From the JSON document of `describe MODEL --json`."""
        parts = tuple(_from(Part, {**part, "blocks": tuple(_from(Block, block) for block in part["blocks"])}) for part in values["parts"])
        return _from(cls, {**values, "layers": tuple(_from(Step, step) for step in values["layers"]), "parts": parts})


def _from(kind: type[T], values: Mapping[str, Any]) -> T:
    """A frozen dataclass from JSON, whose lists are its tuples; what the class does not know is left out."""
    known = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in known})


def describe(config: ModelConfig, spec: DataSpec) -> ModelDescription:
    """Raises what building the network raises: unknown_name, input_too_small, not_a_multiple and others."""
    model = build_model(config, spec, seed=None, device="meta")
    return describe_module(model, (spec.channels, spec.height, spec.width), name=config.model, classes=len(spec.classes))


def describe_module(model: nn.Module, input_shape: tuple[int, ...], *, name: str, classes: int) -> ModelDescription:
    """Any network on `meta`."""
    steps = trace(model, input_shape)
    macs, parameters = sum(step.macs for step in steps), sum(p.numel() for p in model.parameters())
    return ModelDescription(
        model=name,
        input_shape=input_shape,
        classes=classes,
        parameters=parameters,
        linear_parameters=_linear_parameters(model),
        unused_parameters=parameters - sum(step.parameters for step in steps),
        macs=macs,
        flops=2 * macs,
        layers=steps,
        parts=parts_of(model, steps, input_shape),
    )


def _linear_parameters(model: nn.Module) -> int:
    """Of linear layers and of the projections of attention, which torch's own keeps as bare parameters."""
    layers = [p for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters(recurse=False)]
    inside = [p for m in model.modules() if isinstance(m, nn.MultiheadAttention) for p in m.parameters(recurse=False)]
    return sum(p.numel() for p in (*layers, *inside))


def count_parameters(config: ModelConfig, spec: DataSpec) -> int:
    """Without a pass through the network."""
    return sum(p.numel() for p in build_model(config, spec, seed=None, device="meta").parameters())
