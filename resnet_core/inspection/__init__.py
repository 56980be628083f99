"""What is measured inside a network; whoever looks leaves it as found."""

from resnet_core.inspection.decision import BlockDecision, DecisionReport, Probe, decided_at, decisions, fit_probe, fit_probes, ridge
from resnet_core.inspection.effect import ChannelMeasures, PositionShares, channel_measures, inverse_root_line, position_shares
from resnet_core.inspection.gradients import BlockGradient, GradientReport, LayerGradient, measure_gradients
from resnet_core.inspection.lesions import Lesion, each_block, lesion_accuracies, lesioned, random_blocks, swappable, swapped
from resnet_core.inspection.paths import PathLength, PathReport, measure_paths, path_passes
from resnet_core.inspection.recording import hooked, recorded, untouched
from resnet_core.inspection.residual import BlockMaps, BlockStatistics, all_outputs, block_maps, formula_stds, residual_statistics
from resnet_core.inspection.settling import ENOUGH, settle_norms
from resnet_core.inspection.shatter import (
    SETTLED_ON,
    LineGradients,
    ToyGradients,
    autocorrelation,
    line_gradients,
    noise_autocorrelation,
    toy_gradients,
)
from resnet_core.inspection.trend import VERDICTS, GradientTrend, gradient_trend
from resnet_core.inspection.untrained import UntrainedGradients, depths_up_to, networks_of_study, noise_like, untrained_gradients
from resnet_core.inspection.verdicts import FINDINGS, BlockEvidence, Finding, NetworkEvidence, examine, judge

__all__ = [
    "BlockGradient", "BlockMaps", "BlockStatistics", "ChannelMeasures", "PositionShares", "channel_measures", "inverse_root_line", "position_shares",
    "GradientReport", "LayerGradient", "Lesion", "all_outputs", "block_maps", "each_block", "formula_stds",
    "hooked", "lesion_accuracies", "lesioned", "measure_gradients", "recorded", "residual_statistics", "settle_norms", "untouched",
    "random_blocks", "swappable", "swapped",
    "BlockDecision", "DecisionReport", "Probe", "decided_at", "decisions", "fit_probe", "fit_probes", "ridge",
    "BlockEvidence", "FINDINGS", "Finding", "NetworkEvidence", "examine", "judge",
    "GradientTrend", "UntrainedGradients", "VERDICTS", "depths_up_to", "gradient_trend", "networks_of_study", "noise_like", "untrained_gradients",
    "PathLength", "PathReport", "measure_paths", "path_passes",
    "ENOUGH", "LineGradients", "SETTLED_ON", "ToyGradients", "autocorrelation", "line_gradients", "noise_autocorrelation", "toy_gradients",
]  # fmt: skip
