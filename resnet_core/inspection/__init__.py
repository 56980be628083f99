"""What is measured inside a network; whoever looks leaves it as found."""

from resnet_core.inspection.gradients import BlockGradient, GradientReport, LayerGradient, measure_gradients
from resnet_core.inspection.recording import hooked, recorded, untouched
from resnet_core.inspection.residual import BlockMaps, BlockStatistics, all_outputs, block_maps, residual_statistics

__all__ = [
    "BlockGradient", "BlockMaps", "BlockStatistics", "GradientReport", "LayerGradient", "all_outputs", "block_maps", "hooked", "measure_gradients",
    "recorded", "residual_statistics", "untouched",
]  # fmt: skip
