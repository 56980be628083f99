"""The sum over all paths is the gradient: an identity that holds to rounding, whichever way the paths are counted."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.inspection import lesioned, measure_gradients, measure_paths, path_passes
from resnet_core.inspection.paths import ENUMERATED
from resnet_core.models import block_places

DOUBLE = torch.float64
NETWORKS = [
    *({"name": "resnet8", "option": option, "version": version} for option in "ABC" for version in ("v1", "v2")),
    {"name": "resnet8", "norm": "none"},
    {"name": "resnet8", "norm": "group"},
]


def paths_by_hand(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
    """(whole, gradients of all paths by length), each path in a backward pass of its own, through hooks that shut one of a block's ways."""
    blocks = [place.module for place in block_places(model)]
    shut: dict[tuple[int, str], bool] = {}

    def gate(index: int, way: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            out = output.clone()  # a tensor of its own, since an identity shortcut hands on its input
            out.register_hook(lambda gradient: torch.zeros_like(gradient) if shut.get((index, way)) else gradient)
            return out

        return hook

    first: list[Tensor] = []
    handles = [blocks[0].register_forward_pre_hook(lambda m, inputs: first.append(inputs[0]))]
    for index, block in enumerate(blocks):
        handles.append(block.residual.register_forward_hook(gate(index, "residual")))
        handles.append(block.shortcut.register_forward_hook(gate(index, "shortcut")))
    loss = nn.functional.cross_entropy(model(images.clone().requires_grad_()), labels)
    for handle in handles:
        handle.remove()
    (whole,) = torch.autograd.grad(loss, first[0], retain_graph=True)
    found: list[list[Tensor]] = [[] for _ in range(len(blocks) + 1)]
    for ways in itertools.product(("residual", "shortcut"), repeat=len(blocks)):
        shut.clear()
        shut.update({(index, "shortcut" if way == "residual" else "residual"): True for index, way in enumerate(ways)})
        found[ways.count("residual")].append(torch.autograd.grad(loss, first[0], retain_graph=True)[0])
    return whole, found


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(network.values()))
def test_every_number_is_that_of_the_paths_followed_by_hand(
    build: Any, images: Tensor, labels: Tensor, network: dict[str, Any], training: bool
) -> None:
    model = build(**network, dtype=DOUBLE)
    report = measure_paths(model, images, labels, training=training)
    whole, by_length = paths_by_hand(model.train(training), images.double(), labels)
    assert (report.blocks, report.paths, report.complete, report.mode) == (3, 8, True, "train" if training else "eval")
    assert report.error < 1e-14, "the eight paths add up to the gradient"
    assert report.norm == pytest.approx(float(whole.norm()), rel=1e-10)
    weights = [sum(float(path.norm()) for path in paths) for paths in by_length]
    for line, paths, weight in zip(report.lengths, by_length, weights, strict=True):
        norms = torch.stack([path.norm() for path in paths])
        together = torch.stack(paths).sum(0)
        assert line.paths == line.followed == len(paths) == math.comb(3, line.length)
        assert line.norm == pytest.approx(float(norms.mean()), rel=1e-9)
        assert line.spread == pytest.approx(float(norms.std(correction=0)), rel=1e-6, abs=1e-9 * line.norm)
        assert line.share == pytest.approx(weight / sum(weights), rel=1e-9)
        assert line.sum_norm == pytest.approx(float(together.norm()), rel=1e-9)
        assert line.part == pytest.approx(float((together * whole).sum() / whole.square().sum()), rel=1e-8, abs=1e-12)
    assert sum(line.part for line in report.lengths) == pytest.approx(1, abs=1e-12)
    assert sum(line.share for line in report.lengths) == pytest.approx(1, abs=1e-12)


def test_the_whole_gradient_is_the_one_at_the_first_block_s_input(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build("resnet14")
    assert measure_paths(model, images, labels).norm == pytest.approx(
        measure_gradients(model, images, labels).blocks[0].input_grad_norm, rel=1e-4
    )


def test_sums_passed_on_by_length_are_the_sums_of_all_paths(
    build: Any, images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way for deep networks against the one that follows every path, on a network where both are possible."""
    model = build("resnet20", dtype=DOUBLE)
    complete = measure_paths(model, images, labels)
    monkeypatch.setattr("resnet_core.inspection.paths.ENUMERATED", 0)
    sampled = measure_paths(model, images.double(), labels, samples=200)
    assert (complete.complete, sampled.complete) == (True, False)
    assert sampled.error < 1e-13
    assert [line.followed for line in sampled.lengths] == [math.comb(9, k) for k in range(10)], "200 samples are all of 126 paths"
    for one, other in zip(complete.lengths, sampled.lengths, strict=True):
        assert one.sum_norm == pytest.approx(other.sum_norm, rel=1e-9)
        assert one.part == pytest.approx(other.part, rel=1e-7, abs=1e-12)
        assert one.norm == pytest.approx(other.norm, rel=1e-9)


def test_a_deep_network_is_sampled_and_its_sum_still_exact(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build("resnet38", dtype=DOUBLE)
    said: list[tuple[int, int]] = []
    report = measure_paths(model, images.double(), labels, samples=3, progress=lambda done, total: said.append((done, total)))
    assert (report.blocks, report.paths, report.complete) == (18, 2**18, False)
    assert report.error < 1e-13
    assert [line.followed for line in report.lengths] == [1, *[3] * 17, 1]
    passes = path_passes(18, samples=3)
    assert said == [(number, passes) for number in range(1, passes + 1)]
    assert measure_paths(model, images.double(), labels, samples=3) == report, "the seed decides which paths"
    other = measure_paths(model, images.double(), labels, samples=3, seed=1)
    assert other.lengths[9].norm != report.lengths[9].norm
    assert other.lengths[9].part == pytest.approx(report.lengths[9].part, rel=1e-9), "only the sample depends on it"


def test_lengths_are_binomial() -> None:
    """Veit et al. 2016: with 54 blocks nearly all paths have 19 to 35 of them, while the gradient comes by 5 to 17."""
    shares = [math.comb(54, length) / 2**54 for length in range(55)]
    assert sum(shares[5:18]) == pytest.approx(0.00454, abs=5e-6)
    assert sum(shares[19:36]) == pytest.approx(0.980, abs=5e-4)


def test_the_passes_are_counted_before_they_are_made() -> None:
    assert path_passes(3) == 1 + 2 + 4  # block 3 once, block 2 behind either way, block 1 behind all four
    assert path_passes(ENUMERATED) == 2**ENUMERATED - 1
    assert path_passes(12, samples=1) <= sum(range(13)) + 12 * 13 // 2


def test_a_branch_that_is_switched_off_leaves_one_path(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build()
    with lesioned(model, [place.name for place in block_places(model)]):
        report = measure_paths(model, images, labels)
    assert [line.part for line in report.lengths] == pytest.approx([1, 0, 0, 0], abs=1e-12)
    assert report.factor == 0


def test_without_nonlinearities_the_norm_falls_by_the_scale_of_f(build: Any, images: Tensor, labels: Tensor) -> None:
    """F = 0.3 x in every block: 0.3^k for each of the paths of length k, and binomial parts."""

    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0.3 * x

    model = build("resnet14")
    for place in block_places(model):
        place.module.relu = nn.Identity()
        place.module.residual = nn.Sequential(place.module.shortcut, Scaled())
    report = measure_paths(model, images, labels)
    assert report.factor == pytest.approx(0.3, rel=1e-9)
    for line in report.lengths:
        assert line.norm == pytest.approx(report.norm * 0.3**line.length / 1.3**6, rel=1e-9)
        assert line.part == pytest.approx(line.paths * 0.3**line.length / 1.3**6, rel=1e-9)
        assert line.share == pytest.approx(line.part, rel=1e-9)


@pytest.mark.parametrize("name", ["resnet8", "resnet38"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_network_is_left_as_found(build: Any, images: Tensor, labels: Tensor, witness: Any, name: str, training: bool) -> None:
    model = build(name)
    witness(model)
    before = images.clone()
    measure_paths(model, images, labels, samples=1, training=training)
    assert torch.equal(images, before)
    assert not images.requires_grad


def test_also_when_it_is_stopped(build: Any, images: Tensor, labels: Tensor, witness: Any) -> None:
    model = build("resnet38")
    witness(model)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_paths(model, images, labels, samples=1, progress=stop)


def test_frozen_networks_and_images_without_gradients_will_do(build: Any, images: Tensor, labels: Tensor) -> None:
    expected = measure_paths(build(), images, labels)
    with torch.inference_mode():
        prepared = images * 1
    with torch.no_grad():
        assert measure_paths(build().requires_grad_(False), prepared, labels) == expected


def test_what_has_no_paths_says_so(build: Any, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match="has no shortcuts"):
        measure_paths(build("plain8"), images, labels)
    with pytest.raises(UserError, match="has no residual blocks"):
        measure_paths(nn.Linear(1, 1), images, labels)
    with pytest.raises(UserError, match="count must be at least 1"):
        measure_paths(build(), images[:0], labels[:0])
