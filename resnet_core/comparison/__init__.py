"""Two networks on the same images: what they cost and answer, whether they differ for a reason, and how alike they are inside."""

from resnet_core.comparison.answers import AGAINST, SHORTCUTS, Answers, PairAnswers, answer
from resnet_core.comparison.conditions import Conditions, Difference, conditions, data_at_size_of, pair_images, require_comparable
from resnet_core.comparison.cost import Cost, cost
from resnet_core.comparison.representation import (
    CkaMap,
    Projection,
    cka_map,
    feature_places,
    linear_cka,
    penultimate_features,
    principal_components,
    tsne,
    tsne_seconds,
)

__all__ = [
    "AGAINST", "Answers", "CkaMap", "Conditions", "Cost", "Difference", "PairAnswers", "Projection", "SHORTCUTS", "answer", "cka_map",
    "conditions", "cost", "data_at_size_of", "feature_places", "linear_cka", "pair_images", "penultimate_features", "principal_components",
    "require_comparable", "tsne", "tsne_seconds",
]  # fmt: skip
