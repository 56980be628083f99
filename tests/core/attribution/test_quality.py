"""What a map is worth: against formulas, on maps whose worth is known, and the check with random weights."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from resnet_core.attribution import (
    METHODS,
    QUALITY_VERDICTS,
    SANITY_VERDICTS,
    Attribution,
    QualitySettings,
    assess,
    attribute,
    check_randomised,
    overlap,
    parts_of,
    quality_cost,
    spearman,
    traits_of,
)
from resnet_core.attribution.quality import edge_map
from resnet_core.attribution.sanity import redrawn, renew
from resnet_core.config import ModelConfig
from resnet_core.data.spec import normalize
from resnet_core.inspection import settle_norms
from resnet_core.models import ResNet, build_model
from tests.core.inspection.conftest import SPEC

QUICK = {"squares": 16, "neighbours": 3, "points": 6, "random_orders": 2}


def with_map(found: Attribution, values: np.ndarray) -> Attribution:
    return replace(found, map=values.astype(np.float32))


class Reader(nn.Module):
    """A network that looks at few pixels alone: the logit of class 1 is what they show, times `weight`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.fc = nn.Linear(weight.numel(), 4, bias=False)
        with torch.no_grad():
            self.fc.weight.zero_()
            self.fc.weight[1] = weight.flatten()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


@pytest.fixture
def reader(pixels: Tensor) -> Reader:
    weight = torch.zeros(12, 12)
    weight[5:8, 5:8] = 1.0
    return Reader(weight)


def bright(pixels: Tensor) -> Tensor:
    return torch.full_like(pixels[:1], 200)


def test_of_a_linear_network_contributions_foretell_every_change(reader: Reader, pixels: Tensor) -> None:
    """Integrated Gradients is exact there: nothing is unexplained, whatever the map's scale; other pixels explain nothing."""
    (found,) = attribute(reader, bright(pixels), SPEC, "integrated_gradients", target=1)
    elsewhere = np.zeros((1, 12, 12))
    elsewhere[:, :2, :2] = 1
    cases = {
        "own": found,
        "scaled": with_map(found, 1000 * found.map),
        "elsewhere": with_map(found, elsewhere),
        "zero": with_map(found, 0 * found.map),
    }
    judged = {name: assess(reader, bright(pixels), SPEC, [case], QUICK)[0] for name, case in cases.items()}
    assert judged["own"].unexplained == pytest.approx(0, abs=1e-5)
    assert judged["scaled"].infidelity == pytest.approx(judged["own"].infidelity, abs=1e-3)
    assert judged["elsewhere"].unexplained > 0.5
    assert judged["zero"].unexplained == pytest.approx(1)
    assert judged["zero"].verdict == "empty"
    assert judged["own"].verdict == "better"
    assert judged["own"].own.deletion_area < judged["elsewhere"].own.deletion_area
    assert all(math.isfinite(value) for value in (judged["zero"].infidelity, judged["zero"].sensitivity))


def test_of_a_region_each_pixel_has_its_part() -> None:
    """An even image under even weights: regions of 4, 6 and 9 pixels hold what their pixels hold, so nothing is unexplained."""
    grey = torch.full((1, 1, 12, 12), 200, dtype=torch.uint8)
    reader = Reader(torch.ones(12, 12))
    (found,) = attribute(reader, grey, SPEC, "feature_ablation", {"regions": "grid", "region_count": 25}, target=1)
    assert found.map.max() > 2 * found.map.min() > 0
    (judged,) = assess(reader, grey, SPEC, [found], QUICK)
    assert judged.unexplained == pytest.approx(0, abs=1e-5)


def test_slopes_count_times_the_change_of_the_pixels(reader: Reader, pixels: Tensor) -> None:
    (found,) = attribute(reader, bright(pixels), SPEC, "saliency", {"absolute": False}, target=1)
    (judged,) = assess(reader, bright(pixels), SPEC, [found], QUICK)
    assert judged.unexplained == pytest.approx(0, abs=1e-5)
    assert judged.sensitivity == 0, "the gradient of a linear network is the same everywhere"


def test_sensitivity_is_the_largest_change_of_the_whole_map() -> None:
    """In colour: every channel of the map counts, and each neighbour once."""
    spec = replace(SPEC, channels=3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    model = settle_norms(build_model(ModelConfig(model="resnet8", width=0.5), spec), torch.randn(16, 3, 12, 12)).eval()
    image = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    found = attribute(model, image, spec, "input_x_gradient", target=1)
    (judged,) = assess(model, image, spec, found, QUICK, seed=7)
    drawn = torch.rand((3, 3, 12, 12), generator=torch.Generator().manual_seed(7))
    beside = image + (2 * drawn - 1) * QualitySettings().radius
    maps = [one.map for one in attribute(model, beside, spec, "input_x_gradient", target=1)]
    changes = [np.linalg.norm(one - found[0].map) / np.linalg.norm(found[0].map) for one in maps]
    assert judged.sensitivity == pytest.approx(max(changes), rel=1e-3)


def test_deletion_and_insertion_by_hand(reader: Reader, pixels: Tensor) -> None:
    """The nine pixels that matter go first: after 1/16 of all pixels the score is that of black."""
    (found,) = attribute(reader, bright(pixels), SPEC, "integrated_gradients", target=1)
    (judged,) = assess(reader, bright(pixels), SPEC, [found], {**QUICK, "points": 16})
    black = float(torch.softmax(reader(normalize(torch.zeros(1, 1, 12, 12), SPEC)), 1)[0, 1].detach())
    full = float(torch.softmax(reader(normalize(bright(pixels), SPEC)), 1)[0, 1].detach())
    assert judged.own.deletion == pytest.approx([full] + [black] * 16, abs=1e-6)
    assert judged.own.deletion_area == pytest.approx((full / 2 + black / 2 + 15 * black) / 16, abs=1e-6)
    assert judged.own.insertion == pytest.approx([full] * 17, abs=1e-5), "an even image blurred is itself"


def test_infidelity_is_unchanged_by_a_scale(build: Any, pixels: Tensor) -> None:
    model = build()
    for method in ("saliency", "integrated_gradients", "layer_grad_cam"):
        (found,) = attribute(model, pixels[:1], SPEC, method, target=1)
        one, other = (assess(model, pixels[:1], SPEC, [with_map(found, scale * found.map)], QUICK)[0] for scale in (1, -37.5))
        assert one.infidelity == pytest.approx(other.infidelity, rel=1e-3)
        assert 0 < one.unexplained < 1.0001


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_judged_the_same_way_twice(build: Any, witness: Any, pixels: Tensor, references: Tensor, method: str) -> None:
    """Seeded, with costs as they were said, the network as found; and it stops when asked to."""
    model, heard = build(), list[int]()
    witness(model)
    settings = {"region_count": 5} if "region_count" in METHODS[method].settings.settings() else {}
    settings |= {name: 4 for name in ("permutations", "samples", "steps", "max_steps") if name in METHODS[method].settings.settings()}
    settings |= {"references": 5} if "references" in METHODS[method].settings.settings() else {}
    found = attribute(model, pixels[:1], SPEC, method, settings, target=1, references=references)
    one, other = (
        assess(model, pixels[:1], SPEC, found, QUICK, references=references, progress=lambda done, of: heard.append(done)) for _ in "12"
    )
    assert (one[0].infidelity, one[0].sensitivity, one[0].verdict) == (other[0].infidelity, other[0].sensitivity, other[0].verdict)
    assert np.array_equal(one[0].random.deletion, other[0].random.deletion)
    assert one[0].verdict in QUALITY_VERDICTS
    cost = quality_cost(METHODS[method], found[0].settings, QualitySettings.from_dict(QUICK), SPEC, traits_of(model, SPEC)).forward
    assert max(heard) == pytest.approx(cost, rel=0.35, abs=12)

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assess(model, pixels[:1], SPEC, found, QUICK, progress=stop)


def test_edges_are_where_brightness_turns() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[:, :, :, 4:] = 1
    assert torch.equal(edge_map(image)[0] > 0, torch.tensor([False] * 3 + [True] * 2 + [False] * 3).expand(8, 8))


# -- ranks -------------------------------------------------------------------------------------------------------------------------------


def test_rank_correlation_is_scipys() -> None:
    generator = np.random.default_rng(0)
    for one, other in (generator.integers(0, 5, (2, 3, 40)), generator.normal(size=(2, 3, 40))):
        assert spearman(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic, abs=1e-12)
    assert math.isnan(spearman(np.zeros(5), np.arange(5)))


def test_the_overlap_of_the_strongest() -> None:
    one = np.zeros((2, 10, 10))
    one[0, 0, :5] = -3
    other = one.copy()
    other[0, 0, 0], other[1, 9, 9] = 0, 5
    assert overlap(one, one) == 1
    assert overlap(one, other) == pytest.approx(4 / 6)
    assert math.isnan(overlap(0 * one, 0 * one))


# -- random weights ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained() -> tuple[ResNet, Tensor]:
    """resnet8 before its first step, its norms settled, and strokes on black that it is asked about."""
    generator = torch.Generator().manual_seed(11)
    strokes = torch.zeros(40, 1, 12, 12)
    for image in strokes:
        y, x, tilt = (int(torch.randint(2, 6, (1,), generator=generator)) for _ in range(3))
        image[0, y : y + tilt, x : x + 2] = 1
        image[0, y + 1 : y + 3, x : x + 5] = 0.7
    images = (strokes * 255).to(torch.uint8)
    model = build_model(ModelConfig(model="resnet8"), SPEC, seed=0).eval()
    settle_norms(model, normalize(images, SPEC))
    assert isinstance(model, ResNet)
    return model, images


def test_random_weights_change_the_gradient_and_hardly_guided_backprop(untrained: tuple[ResNet, Tensor]) -> None:
    """Adebayo et al. 2018: edges, not evidence. Integrated Gradients keeps the image's shape, and none of its signs."""
    model, images = untrained

    def check(method: str, **settings: Any) -> Any:
        return check_randomised(model, images[:6], SPEC, method, settings, settle_on=images[8:], target=1)

    gradient = check("saliency", absolute=False)
    assert [step.part for step in gradient.steps] == ["head", "stages.2", "stages.1", "stages.0", "stem"]
    assert all(abs(step.signed) < 0.3 for step in gradient.steps)
    assert gradient.verdict == "depends"
    guided = check("guided_backprop")
    assert guided.steps[0].signed > 0.7
    assert guided.steps[-1].signed > max(0.3, gradient.steps[-1].signed + 0.2)
    assert guided.verdict in ("ignores_class", "ignores_weights")
    path = check("integrated_gradients", steps=16, max_steps=16)
    assert path.steps[-1].absolute > 0.7 > 0.4 > abs(path.steps[-1].signed)
    assert path.verdict == "keeps_image"
    assert path.maps.shape == path.steps[0].maps.shape == (6, 1, 12, 12)


def test_the_network_keeps_its_weights_and_a_check_stops(build: Any, witness: Any, pixels: Tensor) -> None:
    model, heard = build(), list[tuple[int, int]]()
    witness(model)

    def check(progress: Any) -> Any:
        return check_randomised(model, pixels[:2], SPEC, "saliency", settle_on=pixels, target=0, progress=progress)

    one, other = check(lambda *now: heard.append(now)), check(None)
    assert np.array_equal(one.steps[-1].maps, other.steps[-1].maps), "seeded"
    assert heard[-1][0] == pytest.approx(heard[-1][1], rel=0.25)

    def stop(done: int, of: int) -> None:
        if done > of / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(stop)


def test_an_empty_map_has_nothing_to_compare(pixels: Tensor) -> None:
    model = Reader(torch.zeros(12, 12))
    checked = check_randomised(model, pixels[:1], SPEC, "saliency", settle_on=pixels, target=1)
    assert checked.verdict == "empty"
    assert math.isnan(checked.steps[-1].signed)
    assert set(SANITY_VERDICTS) >= {checked.verdict}


def test_a_map_that_is_no_number_is_not_approved_of(pixels: Tensor) -> None:
    model = Reader(torch.full((12, 12), math.nan))
    assert check_randomised(model, pixels[:1], SPEC, "saliency", settle_on=pixels, target=1).verdict == "not_finite"


def test_the_last_part_takes_with_it_what_lies_in_none() -> None:
    """A vision transformer's class token belongs to the network itself."""
    from torchvision.models import VisionTransformer

    model = VisionTransformer(image_size=8, patch_size=4, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    fresh, names = redrawn(model, 1), parts_of(model)

    def kept() -> set[str]:
        return {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}

    renew(model, fresh, names[0])
    assert kept() == {name for name in before if not name.startswith("heads.")}
    for part in names[1:]:
        renew(model, fresh, part, rest=part == names[-1])
    assert not kept()


def test_parts_of_foreign_networks_are_their_children() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2))
    assert parts_of(model) == ("3", "0")


def test_nothing_learned_is_left_in_a_transformer() -> None:
    """Its attention keeps projections in bare parameters, which no layer's rule draws."""
    model = build_model(ModelConfig(model="vit_b_16", width=0.125), SPEC)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    after = dict(redrawn(model, 5).named_parameters())
    same = {name for name, parameter in before.items() if torch.equal(parameter, after[name])}
    assert all(name.endswith("bias") or parameter.unique().numel() == 1 for name, parameter in before.items() if name in same)
    assert not any(name.endswith(("in_proj_weight", "pos_embedding", "fc.weight")) for name in same)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
