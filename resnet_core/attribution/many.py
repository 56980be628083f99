"""One method over many images: figures with intervals, and whether two networks look at different places.

"Does the shortcut change what a network looks at?" needs a yardstick: two trainings of one network differ too. So the likeness of A's and
B's maps stands beside that of the maps of A and of A trained from another seed, image by image.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from resnet_core.attribution.computing import BUDGET, Attribution, Images, Progress, attribute
from resnet_core.attribution.quality import Quality, QualitySettings, assess
from resnet_core.attribution.ranking import overlap, spearman
from resnet_core.config import Config
from resnet_core.data.spec import DataSpec
from resnet_core.statistics import FEWEST, Interval, bootstrap_interval

CHUNK = 16  # images between two looks at whether to stop


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image of many; `index` is its place in the split. The figures of quality are None where they were not asked for."""

    index: int
    target: int
    probability: float
    total: float
    completeness_error: float | None
    infidelity: float | None = None
    unexplained: float | None = None
    sensitivity: float | None = None
    deletion: float | None = None
    insertion: float | None = None
    edge_deletion: float | None = None
    edge_insertion: float | None = None
    random_deletion: float | None = None
    random_insertion: float | None = None
    verdict: str | None = None


FIGURES = tuple(item.name for item in fields(ImageRow) if item.name not in ("index", "target", "verdict"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """A method over images: a row and a map for each (N, C, H, W), and the mean of every figure with its `bootstrap_interval`."""

    method: str
    rows: tuple[ImageRow, ...]
    maps: NDArray[np.float32]
    figures: dict[str, Interval]

    @property
    def mean_map(self) -> NDArray[np.float32]:
        """(C, H, W)."""
        mean: NDArray[np.float32] = self.maps.mean(0)
        return mean


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of two networks' maps of the same images: rank correlation over pixels, and the overlap of their strongest 5%."""

    rank: Interval
    top: Interval


@dataclass(frozen=True, kw_only=True)
class Influence:
    """How alike A's and B's maps are, and A's and its second seed's. The gaps are those likenesses' differences, image by image; above 0,
    B differs from A more than a second A does. `verdict` is one of VERDICTS."""

    networks: Agreement
    seeds: Agreement | None
    rank_gap: Interval | None
    top_gap: Interval | None
    verdict: str


VERDICTS: dict[str, str] = {
    "no_second_seed": "There is no second training of the first network, so nothing says how much two trainings differ anyway.",
    "no_maps": "A map is the same number everywhere in every image, so there is nothing to compare; choose another method.",
    "changes": "The two networks look at different places: their maps differ more than those of two trainings of the first.",
    "not_shown": "On these images the maps of the two networks do not differ more than those of two trainings of the first.",
    "few": f"Too few images to tell a difference from chance; take at least {FEWEST}.",
    "unclear": "Order and strongest pixels disagree on whether the maps differ more than those of two trainings of the first.",
}


def over_images(
    model: nn.Module,
    images: Images,
    spec: DataSpec,
    method: str,
    settings: Config | Mapping[str, Any] | None = None,
    *,
    targets: Sequence[int],
    indices: Sequence[int] | None = None,
    quality: QualitySettings | None = None,
    seed: int = 0,
    references: Images | None = None,
    budget: int = BUDGET,
    progress: Progress | None = None,
    name: str | None = None,
) -> Cohort:
    """The method about every image and its target; with `quality` its figures too. `progress(images, of all)` may raise to stop.

    `indices` are the images' places in their split. Raises what attribute raises.
    """
    rows: list[ImageRow] = []
    maps: list[NDArray[np.float32]] = []
    numbers = range(len(images)) if indices is None else indices

    def beat(done: int, total: int) -> None:
        if progress is not None:
            progress(len(rows), len(images))

    shared: dict[str, Any] = {"seed": seed, "references": references, "budget": budget, "progress": beat, "name": name}
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        found = attribute(model, images[part], spec, method, settings, target=targets[part], **shared)
        judged: Sequence[Quality | None] = [None] * len(found)
        if quality is not None:
            judged = assess(model, images[part], spec, found, quality, **shared)
        rows += [_row(*row) for row in zip(numbers[part], found, judged, strict=True)]
        maps += [attribution.map for attribution in found]
        beat(0, 0)
    return Cohort(method=method, rows=tuple(rows), maps=np.stack(maps), figures=_figures(rows, seed))


def _row(index: int, found: Attribution, judged: Quality | None) -> ImageRow:
    row = ImageRow(
        index=int(index),
        target=found.target,
        probability=found.probability,
        total=found.total,
        completeness_error=found.completeness_error,
    )
    if judged is None:
        return row
    return replace(
        row,
        infidelity=judged.infidelity,
        unexplained=judged.unexplained,
        sensitivity=judged.sensitivity,
        deletion=judged.own.deletion_area,
        insertion=judged.own.insertion_area,
        edge_deletion=judged.edges.deletion_area,
        edge_insertion=judged.edges.insertion_area,
        random_deletion=judged.random.deletion_area,
        random_insertion=judged.random.insertion_area,
        verdict=judged.verdict,
    )


def _figures(rows: Sequence[ImageRow], seed: int) -> dict[str, Interval]:
    """Those that were measured."""
    found = {}
    for figure in FIGURES:
        values = [getattr(row, figure) for row in rows]
        if None not in values:
            found[figure] = bootstrap_interval(values, seed=seed)
    return found


def figure_gaps(a: Cohort, b: Cohort, *, seed: int = 0) -> dict[str, Interval]:
    """B's figures minus A's on the same images, pair by pair: real where the interval leaves out 0."""
    return {
        figure: bootstrap_interval(
            [getattr(two, figure) - getattr(one, figure) for one, two in zip(a.rows, b.rows, strict=True)], seed=seed
        )
        for figure in a.figures
        if figure in b.figures
    }


def influence(a: Cohort, b: Cohort, second: Cohort | None = None, *, seed: int = 0) -> Influence:
    """Whether B's maps differ from A's by more than those of `second`, A trained from another seed, do."""
    rank, top = _alike(a, b)
    networks = Agreement(rank=bootstrap_interval(rank, seed=seed), top=bootstrap_interval(top, seed=seed))
    if second is None:
        return Influence(networks=networks, seeds=None, rank_gap=None, top_gap=None, verdict="no_second_seed")
    own_rank, own_top = _alike(a, second)
    rank_gap, top_gap = bootstrap_interval(own_rank - rank, seed=seed), bootstrap_interval(own_top - top, seed=seed)
    more = [gap.low > 0 for gap in (rank_gap, top_gap)]
    if math.isnan(rank_gap.value) or math.isnan(top_gap.value):
        verdict = "no_maps"
    elif math.isnan(rank_gap.low) or math.isnan(top_gap.low):
        verdict = "few"
    else:
        verdict = "changes" if all(more) else "unclear" if any(more) else "not_shown"
    return Influence(
        networks=networks,
        seeds=Agreement(rank=bootstrap_interval(own_rank, seed=seed), top=bootstrap_interval(own_top, seed=seed)),
        rank_gap=rank_gap,
        top_gap=top_gap,
        verdict=verdict,
    )


def _alike(a: Cohort, b: Cohort) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) rank correlations and overlaps of the strongest pixels."""
    pairs = list(zip(a.maps, b.maps, strict=True))
    return np.array([spearman(*pair) for pair in pairs]), np.array([overlap(*pair) for pair in pairs])


def to_csv(cohorts: Mapping[str, Cohort]) -> str:
    """Every row of every network, by the networks' names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ("network", "method", *(item.name for item in fields(ImageRow))), lineterminator="\n")
    writer.writeheader()
    for name, cohort in cohorts.items():
        for row in cohort.rows:
            writer.writerow({"network": name, "method": cohort.method, **asdict(row)})
    return text.getvalue()
