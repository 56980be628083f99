"""Residual networks, their plain twins, and the table of all networks."""

from resnet_core.models.blocks import Add, ResidualBlock, ZeroPadding
from resnet_core.models.catalog import (
    MODELS,
    build_model,
    capabilities_of,
    check_network,
    fitting,
    get_entry,
    model_names,
    original_spec,
    resnet_plan,
    twin_config,
    twin_name,
)
from resnet_core.models.describe import ModelDescription, count_parameters, describe, describe_module
from resnet_core.models.entry import DEEPLIFT_OBSTACLES, Capabilities, ModelEntry
from resnet_core.models.places import BlockPlace, block_places, find_block, head_name, name_of, part_of, place_of
from resnet_core.models.resnet import ResNet, ResNetPlan, removable_blocks

__all__ = [
    "DEEPLIFT_OBSTACLES", "MODELS", "Add", "BlockPlace", "Capabilities", "ModelDescription", "ModelEntry", "ResNet", "ResNetPlan", "ResidualBlock",
    "ZeroPadding", "block_places", "build_model", "capabilities_of", "check_network", "count_parameters", "describe", "describe_module", "find_block",
    "fitting", "get_entry", "head_name", "model_names", "name_of", "original_spec", "part_of", "place_of", "removable_blocks", "resnet_plan", "twin_config", "twin_name",
]  # fmt: skip
