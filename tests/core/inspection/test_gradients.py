"""The split of a gradient and the sum over paths are identities: they hold to rounding in every network, trained or not."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.inspection import lesioned, measure_gradients
from resnet_core.models import block_places

DOUBLE = torch.float64
NETWORKS = [
    {"name": name, "option": option, "version": version, "width": width}
    for name, width in (("resnet8", 0.5), ("resnet50", 0.125))
    for option in "ABC"
    for version in ("v1", "v2")
]


def gradients_by_hand(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """(total, through F, through the shortcut) of every block from autograd.grad of each path alone, outside of any hook of ours."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    handles = []
    for place in block_places(model):
        handles.append(place.module.preact.register_forward_hook(lambda m, i, o, n=place.name: inputs.__setitem__(n, o)))
        handles.append(place.module.add.register_forward_hook(lambda m, i, o, n=place.name: outputs.__setitem__(n, o)))
    loss = nn.functional.cross_entropy(model(images.clone().requires_grad_()).float(), labels)
    for handle in handles:
        handle.remove()
    found = {}
    modes = [(m, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for place in block_places(model):
        x, z = inputs[place.name], outputs[place.name]
        total, at_add = torch.autograd.grad(loss, [x, z], retain_graph=True)
        again = x.detach().requires_grad_()
        paths = [torch.autograd.grad(path(again), again, at_add)[0] for path in (place.module.residual, place.module.shortcut)]
        found[place.name] = (total, *paths)
    assert modes
    return found


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: "-".join(str(v) for v in n.values()))
def test_the_two_shares_add_up_to_the_gradient_of_x(
    build: Any, images: Tensor, labels: Tensor, network: dict[str, Any], training: bool
) -> None:
    model = build(**network, dtype=DOUBLE)
    report = measure_gradients(model, images.double(), labels, training=training)
    expected = gradients_by_hand(model.train(training), images.double(), labels)
    assert report.mode == ("train" if training else "eval")
    assert [block.name for block in report.blocks] == list(expected)
    for block in report.blocks:
        total, residual, shortcut = expected[block.name]
        assert block.sum_error is not None
        assert block.sum_error < 1e-14
        assert block.input_grad_norm == pytest.approx(float(total.norm()), rel=1e-10)
        assert block.through_residual_norm == pytest.approx(float(residual.norm()), rel=1e-10)
        assert block.through_shortcut_norm == pytest.approx(float(shortcut.norm()), rel=1e-10)
        assert block.share == pytest.approx(float(shortcut.norm() / (shortcut.norm() + residual.norm())), rel=1e-10)
        assert block.cosine == pytest.approx(float((residual * shortcut).sum() / (residual.norm() * shortcut.norm())), abs=1e-10)
        assert (residual + shortcut - total).norm() / total.norm() < 1e-14, "and the identity itself holds"


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_sum_over_all_paths_is_the_gradient(build: Any, images: Tensor, labels: Tensor, training: bool) -> None:
    """Veit et al. 2016: with the forward activations fixed, each block passes a gradient back through F or through its shortcut;
    the 2^3 combinations of ResNet-8 add up to the whole, ReLUs and BatchNorms in train mode included."""
    model = build("resnet8", dtype=DOUBLE, option="B").train(training)
    source = images.double().requires_grad_()
    x = model.stem(source)
    stem_output, inputs, sums = x, [], []
    blocks = [place.module for place in block_places(model)]
    handles = [block.add.register_forward_hook(lambda m, i, o: sums.append(o)) for block in blocks]
    for block in blocks:
        inputs.append(x)
        x = block(x)
    loss = nn.functional.cross_entropy(model.head(x), labels)
    for handle in handles:
        handle.remove()
    whole, at_end = torch.autograd.grad(loss, [stem_output, x], retain_graph=True)
    total = torch.zeros_like(whole)
    for choice in itertools.product((0, 1), repeat=3):
        gradient = at_end
        for number in (2, 1, 0):
            gradient = gradient * (sums[number] > 0)  # the ReLU after the add, as it was in the forward pass
            again = inputs[number].detach().requires_grad_()
            path = (blocks[number].residual, blocks[number].shortcut)[choice[number]]
            gradient = torch.autograd.grad(path(again), again, gradient)[0]
        total += gradient
    assert float((total - whole).norm() / whole.norm()) < 1e-14


@pytest.mark.parametrize("name", ["resnet8", "plain8"])
def test_layers_have_the_gradients_of_a_plain_backward_pass(build: Any, images: Tensor, labels: Tensor, name: str) -> None:
    model = build(name)
    report = measure_gradients(model, images, labels)
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    assert report.loss == float(loss.detach())
    assert report.images == 6
    weights = {f"{layer.name}.weight": layer for layer in report.layers}
    assert list(weights) == [n for n, p in model.named_parameters() if p.ndim > 1]
    for full_name, layer in weights.items():
        parameter = model.get_parameter(full_name)
        assert layer.weight_grad_norm == pytest.approx(float(parameter.grad.norm()), rel=1e-5)
        assert layer.weight_norm == pytest.approx(float(parameter.detach().norm()), rel=1e-6)
    assert [layer.part for layer in report.layers][:2] == ["stem", "stages.0"]
    assert report.layers[-1].part == "head"


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: "-".join(str(v) for v in n.values()))
def test_the_add_and_the_direction_of_f(build: Any, images: Tensor, labels: Tensor, network: dict[str, Any], training: bool) -> None:
    """|dL/dz| at the add, and cos(F, dL/dx) image by image, from hooks of our own."""
    model = build(**network, dtype=DOUBLE)
    report = measure_gradients(model, images.double(), labels, training=training)
    model.train(training)
    seen: dict[str, dict[str, Tensor]] = {place.name: {} for place in block_places(model)}
    handles = []
    for place in block_places(model):
        for key in ("preact", "residual", "add"):
            module = getattr(place.module, key)
            handles.append(module.register_forward_hook(lambda m, i, o, n=place.name, k=key: seen[n].__setitem__(k, o)))
    loss = nn.functional.cross_entropy(model(images.double().requires_grad_()).float(), labels)
    for handle in handles:
        handle.remove()
    places = {place.name: place.module for place in block_places(model)}
    for block in report.blocks:
        found = seen[block.name]
        at_x, at_add = torch.autograd.grad(loss, [found["preact"], found["add"]], retain_graph=True)
        assert block.add_grad_norm == pytest.approx(float(at_add.norm()), rel=1e-10)
        if not isinstance(places[block.name].shortcut, nn.Identity):
            assert block.refinement is None
            continue
        cosines = [float((f * g).sum() / (f.norm() * g.norm())) for f, g in zip(found["residual"].detach(), at_x, strict=True)]
        assert block.refinement == pytest.approx(sum(cosines) / len(cosines), abs=1e-10)


def test_f_that_goes_downhill_has_a_negative_cosine(build: Any, images: Tensor, labels: Tensor) -> None:
    """An F that is a small step against the gradient of x, whatever x is: cos(F, dL/dx) is then close to -1."""
    model = build("resnet8", dtype=DOUBLE)
    block = block_places(model)[0].module
    before = measure_gradients(model, images.double(), labels).blocks[0].refinement
    x = model.stem(images.double()).detach().requires_grad_()
    without = block.relu(x)  # the block with F = 0
    for stage in model.stages:
        for other in stage:
            without = without if other is block else other(without)
    (uphill,) = torch.autograd.grad(nn.functional.cross_entropy(model.head(without), labels), x)

    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -1e-6 * uphill + 0 * x

    block.residual = nn.Sequential(Step())
    after = measure_gradients(model, images.double(), labels).blocks[0].refinement
    assert before is not None
    assert after is not None
    assert after == pytest.approx(-1, abs=1e-3)
    assert abs(before) < 0.5


def test_a_plain_block_has_one_path_only(build: Any, images: Tensor, labels: Tensor) -> None:
    report = measure_gradients(build("plain8"), images, labels)
    for block in report.blocks:
        assert block.input_grad_norm > 0
        assert (block.through_residual_norm, block.through_shortcut_norm, block.share, block.cosine, block.sum_error) == (None,) * 5
        assert (block.add_grad_norm, block.refinement) == (None, None)


def test_a_block_that_is_switched_off_hands_everything_back_through_the_shortcut(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build()
    with lesioned(model, ["stages.1.0"]):
        off = measure_gradients(model, images, labels).blocks[1]
    assert (off.through_residual_norm, off.share, off.cosine, off.sum_error) == (0, 1, 0, 0)


def test_frozen_parts_are_measured_as_well(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build()
    expected = measure_gradients(model, images, labels)
    model.requires_grad_(False)
    assert measure_gradients(model, images, labels) == expected
    assert not any(p.requires_grad for p in model.parameters())


def test_the_images_stay_as_they_were(build: Any, images: Tensor, labels: Tensor) -> None:
    before = images.clone()
    measure_gradients(build(), images, labels)
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert images.grad is None


def test_images_made_without_gradients_will_do(build: Any, images: Tensor, labels: Tensor) -> None:
    expected = measure_gradients(build(), images, labels)
    with torch.inference_mode():
        prepared = images * 1
    with torch.no_grad():
        assert measure_gradients(build(), prepared, labels) == expected


def test_no_images_is_an_error(build: Any, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(UserError, match="count must be at least 1, got 0"):
        measure_gradients(build(), images[:0], labels[:0])


def test_training_mode_says_what_a_single_value_per_channel_needs() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 4), nn.BatchNorm2d(3), nn.Flatten())
    image, label = torch.randn(1, 1, 4, 4), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(UserError, match="take more images, or eval mode"):
        measure_gradients(model, image, label, training=True)
    assert measure_gradients(model, image, label).images == 1


def test_what_drops_by_chance_drops_the_same_every_time(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build(stochastic_depth=0.5)
    state = torch.random.get_rng_state()
    first, second = (measure_gradients(model, images, labels, training=True) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)
    assert measure_gradients(model, images, labels).loss != first.loss
