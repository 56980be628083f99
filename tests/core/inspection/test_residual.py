"""Block statistics against plain hooks written here, against formulas that need no data, and against theory at initialisation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError
from resnet_core.inspection import all_outputs, block_maps, formula_stds, hooked, recorded, residual_statistics
from resnet_core.models import block_places, build_model, find_block

VARIANTS: list[dict[str, Any]] = [
    {},
    {"option": "B"},
    {"option": "C", "version": "v2"},
    {"version": "v2"},
    {"name": "resnet50", "width": 0.125},
    {"name": "plain8"},
    {"name": "plain8", "version": "v2", "option": "B"},
    {"norm": "none"},
]


def by_hand(model: nn.Module, images: Tensor) -> dict[str, dict[str, Tensor]]:
    """F, s and y of every block, from hooks of its own."""
    tensors: dict[str, dict[str, Tensor]] = {}
    handles = []

    def keep(name: str, part: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            tensors.setdefault(name, {})[part] = output.clone()

        return hook

    for place in block_places(model):
        parts = {"residual": place.module.residual, "shortcut": place.module.shortcut, "output": place.module}
        handles += [module.register_forward_hook(keep(place.name, part)) for part, module in parts.items() if module is not None]
    with torch.no_grad():
        model.eval()(images)
    for handle in handles:
        handle.remove()
    return tensors


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_statistics_are_those_of_plain_hooks(build: Any, images: Tensor, changes: dict[str, Any], layout: torch.memory_format) -> None:
    model = build(**changes)
    tensors = by_hand(model, images)
    model.to(memory_format=layout)
    statistics = residual_statistics(model, images.to(memory_format=layout), batch_size=4)
    assert [one.name for one in statistics] == list(tensors)
    for one in statistics:
        residual, output = (tensors[one.name][part].double().numpy() for part in ("residual", "output"))
        norms = np.sqrt((residual**2).sum((1, 2, 3)))
        assert one.residual_norm == pytest.approx(norms.mean(), rel=1e-5)
        assert one.output_norm == pytest.approx(np.sqrt((output**2).sum((1, 2, 3))).mean(), rel=1e-5)
        assert one.residual_std == pytest.approx(residual.std(), rel=1e-5)
        if "version" in changes:
            assert one.dead_share is None
        else:
            assert one.dead_share == pytest.approx((output.max((0, 2, 3)) == 0).mean(), abs=1e-9)
        if "shortcut" not in tensors[one.name]:
            assert (one.shortcut_norm, one.ratio, one.ratio_spread, one.cosine, one.cosine_spread) == (None,) * 5
            continue
        shortcut = tensors[one.name]["shortcut"].double().numpy()
        other = np.sqrt((shortcut**2).sum((1, 2, 3)))
        cosine = (residual * shortcut).sum((1, 2, 3)) / (norms * other)
        assert one.shortcut_norm == pytest.approx(other.mean(), rel=1e-5)
        assert one.ratio == pytest.approx((norms / other).mean(), rel=1e-5)
        assert one.ratio_spread == pytest.approx((norms / other).std(), rel=1e-3, abs=1e-6)
        assert one.cosine == pytest.approx(cosine.mean(), abs=1e-6)
        assert one.cosine_spread == pytest.approx(cosine.std(), abs=1e-6)


def test_the_batch_size_changes_nothing(build: Any, images: Tensor) -> None:
    model = build()
    whole, pieces = residual_statistics(model, images), residual_statistics(model, images, batch_size=1)
    for a, b in zip(whole, pieces, strict=True):
        assert a.ratio == pytest.approx(b.ratio, rel=1e-5)
        assert (a.dead_share, a.name) == (b.dead_share, b.name)


def test_dead_channels_are_counted(build: Any, images: Tensor) -> None:
    model = build("plain8")
    last = block_places(model)[1].module.residual.norm2
    with torch.no_grad():
        last.bias[:4] = -100.0
        last.bias[4:] = 100.0
    assert residual_statistics(model, images)[1].dead_share == 4 / 16


def test_what_is_not_finite_is_not_called_zero(build: Any, images: Tensor) -> None:
    model = build()
    with torch.no_grad():
        find_block(model, "stages.1.0").module.residual[0].weight.fill_(math.nan)
    broken = {block.name: block for block in residual_statistics(model, images)}["stages.1.0"]
    for value in (broken.residual_norm, broken.ratio, broken.cosine, broken.dead_share):
        assert value is not None
        assert math.isnan(value)


def test_a_shortcut_of_zeros_has_ratio_and_cosine_zero(build: Any, images: Tensor) -> None:
    model = build()
    with torch.no_grad():
        model.stem.conv.weight.zero_()
        model.stem.norm.bias.fill_(-1)
        model.stem.norm.running_mean.zero_()
    first = residual_statistics(model, images)[0]
    assert (first.shortcut_norm, first.ratio, first.cosine) == (0, 0, 0)
    assert first.residual_norm > 0


@pytest.mark.parametrize("changes", [{}, {"option": "C"}, {"name": "resnet50", "width": 0.125}], ids=str)
def test_zero_gamma_and_beta_leave_the_shortcut_alone(build: Any, images: Tensor, changes: dict[str, Any]) -> None:
    """The block's output is relu(shortcut), with a difference of exactly 0."""
    model = build(**changes)
    for place in block_places(model):
        norm = [m for m in place.module.residual if isinstance(m, nn.BatchNorm2d)][-1]
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
        maps = block_maps(model, images[:1], place.name)
        assert maps.shortcut is not None
        assert np.abs(maps.output - np.maximum(maps.shortcut, 0)).max() == 0
        assert not maps.residual.any()
    assert all(one.ratio == 0 and one.residual_std == 0 for one in residual_statistics(model, images))


@pytest.mark.parametrize("name", ["resnet8", "plain8"])
def test_the_std_of_f_follows_from_gamma_and_beta(build: Any, name: str) -> None:
    """He et al. 2015, figure 7: behind a BatchNorm in train mode std(F) = sqrt(mean gamma^2 + var beta), without any data."""
    model = build(name).train()
    images = torch.randn(32, 1, 12, 12)
    places = {place.name: place.module.residual for place in block_places(model)}
    with recorded(places) as cache, torch.no_grad():
        model(images)
    for place in block_places(model):
        norm = place.module.residual.norm2
        formula = math.sqrt(float(norm.weight.detach().square().mean()) + float(norm.bias.detach().var(correction=0)))
        assert float(cache[place.name].std(correction=0)) == pytest.approx(formula, rel=1e-4)


def test_maps_are_the_block_s_own_tensors(build: Any, images: Tensor) -> None:
    model = build("resnet8", option="C", version="v2")
    for place in block_places(model):
        maps = block_maps(model, images[2:3], place.name)
        with torch.no_grad():
            behind = place.module.preact(torch.from_numpy(maps.input)[None])
            assert torch.equal(place.module.residual(behind)[0], torch.from_numpy(maps.residual))
            assert torch.equal(place.module.shortcut(behind)[0], torch.from_numpy(maps.shortcut))
        assert maps.sum is not None
        assert np.array_equal(maps.sum, maps.residual + maps.shortcut)
        assert np.array_equal(maps.output, all_outputs(model, images[2:3])[place.name])
    plain = block_maps(build("plain8"), images[:1], "stages.1.0")
    assert plain.shortcut is plain.sum is None
    assert np.array_equal(plain.output, np.maximum(plain.residual, 0))


def test_at_initialisation_the_ratio_falls_like_one_over_the_square_root_of_depth() -> None:
    """BatchNorm keeps Var F constant while Var x grows by it in every block: |F|/|x| ~ l^-1/2 inside a stage (De and Smith 2020).

    With option B, whose projections start every stage afresh; zero-padding hands the variance of the stage before on.
    """
    spec = DataSpec(name="test", channels=3, height=16, width=16, classes=tuple("0123"), mean=(0.5,) * 3, std=(0.25,) * 3)
    model = build_model(ModelConfig(model="resnet110", version="v2", option="B", width=0.5), spec, seed=0)
    images = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(images)  # running statistics that fit, as after a first step
    statistics = residual_statistics(model, images)
    for stage in (1, 2, 3):
        ratios = [one.ratio for one in statistics if one.stage == stage][1:]  # the first block of a stage stands out
        lengths = np.arange(2, len(ratios) + 2)
        slope = np.polyfit(np.log(lengths), np.log(np.array(ratios, dtype=float)), 1)[0]
        assert slope == pytest.approx(-0.5, abs=0.15), f"stage {stage}"


def test_what_cannot_be_measured_says_so(build: Any, images: Tensor) -> None:
    with pytest.raises(UserError, match="has no residual blocks"):
        residual_statistics(nn.Sequential(nn.Flatten(), nn.Linear(144, 4)), images)
    with pytest.raises(UserError, match="at least 1, got 0"):
        residual_statistics(build(), images[:0])
    with pytest.raises(UserError, match=r"no block 'stages.7.0'; its blocks are stages.0.0"):
        block_maps(build(), images[:1], "stages.7.0")


def test_hooks_that_are_open_change_no_output(build: Any, images: Tensor) -> None:
    model = build()
    alone = model(images)
    seen: list[str] = []
    with hooked({"stem": model.stem, "head": model.head}, lambda name, inputs, output: seen.append(name)):
        assert torch.equal(model(images), alone)
    assert seen == ["stem", "head"]
    with recorded({"head": model.head}) as cache:
        model(images)
    assert torch.equal(cache["head"], alone)
    assert not cache["head"].requires_grad


# -- std of F from gamma and beta -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [{}, {"option": "B"}, {"name": "resnet50", "width": 0.125}, {"name": "plain8"}])
def test_the_std_by_gamma_and_beta_is_that_of_a_batch_in_train_mode(build: Callable[..., nn.Module], variant: dict[str, Any]) -> None:
    model = build(**variant)
    stds = formula_stds(model)
    measured = {}
    handles = [
        place.module.residual.register_forward_hook(lambda m, i, output, name=place.name: measured.update({name: float(output.std())}))
        for place in block_places(model)
    ]
    with torch.no_grad():
        model.train()(torch.randn(64, 1, 12, 12, generator=torch.Generator().manual_seed(3)))
    for handle in handles:
        handle.remove()
    assert stds == pytest.approx(measured, rel=1e-3)
    assert len(set(stds.values())) == len(stds) > 2


@pytest.mark.parametrize("variant", [{"version": "v2"}, {"norm": "group"}, {"norm": "none"}])
def test_without_a_batch_norm_at_the_end_of_f_there_is_no_closed_form(build: Callable[..., nn.Module], variant: dict[str, Any]) -> None:
    assert set(formula_stds(build(**variant)).values()) == {None}
