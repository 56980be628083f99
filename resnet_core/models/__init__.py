"""Residual networks, their plain twins, and the table of all networks."""

from resnet_core.models.blocks import Add, ResidualBlock, ZeroPadding
from resnet_core.models.catalog import (
    MODELS,
    Capabilities,
    ModelEntry,
    build_model,
    get_entry,
    model_names,
    original_spec,
    resnet_plan,
    twin_config,
    twin_name,
)
from resnet_core.models.describe import LayerRow, ModelDescription, count_parameters, describe
from resnet_core.models.places import BlockPlace, block_places, find_block, part_of, place_of
from resnet_core.models.resnet import ResNet, ResNetPlan

__all__ = [
    "MODELS", "Add", "BlockPlace", "Capabilities", "LayerRow", "ModelDescription", "ModelEntry", "ResNet", "ResNetPlan", "ResidualBlock",
    "ZeroPadding", "block_places", "build_model", "count_parameters", "describe", "find_block", "get_entry", "model_names", "original_spec", "part_of", "place_of", "resnet_plan",
    "twin_config", "twin_name",
]  # fmt: skip
