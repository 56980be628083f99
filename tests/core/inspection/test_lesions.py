"""A lesioned network is the network with the block deleted by hand, and nothing of it stays."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.data.spec import DataSpec, Split, normalize
from resnet_core.errors import UserError
from resnet_core.inspection import each_block, lesion_accuracies, lesioned, random_blocks, residual_statistics, swappable, swapped
from resnet_core.models import ResidualBlock, block_places

SPEC = DataSpec(name="test", channels=1, height=12, width=12, classes=tuple("0123"), mean=(0.4,), std=(0.3,))
NETWORKS: list[dict[str, Any]] = [
    {"name": "resnet14"},
    {"name": "resnet14", "option": "C", "version": "v2"},
    {"name": "resnet14", "version": "v2"},
    {"name": "resnet50", "width": 0.125},
    {"name": "resnet50", "width": 0.125, "version": "v2", "stride_in_1x1": True},
    {"name": "plain14"},
    {"name": "plain14", "option": "B", "version": "v2"},
    {"name": "plain50", "width": 0.125},
]


@pytest.fixture
def split() -> Split:
    generator = torch.Generator().manual_seed(3)
    return Split(
        images=torch.randint(0, 256, (30, 1, 12, 12), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, 3, (30,), generator=generator),  # no image of the last class
    )


def deleted(block: ResidualBlock, x: Tensor) -> Tensor:
    """What is left of a block whose residual branch is taken out, from its definition."""
    if block.shortcut is not None:
        z = block.shortcut(block.preact(x))
    else:
        convolutions = [m for m in block.residual if isinstance(m, nn.Conv2d)]
        stride, out = max(m.stride[0] for m in convolutions), convolutions[-1].out_channels
        extra = out - x.shape[1]
        z = functional.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, extra // 2, extra - extra // 2))
    return functional.relu(z) if isinstance(block.relu, nn.ReLU) else z


@torch.no_grad()
def by_hand(model: Any, images: Tensor, names: tuple[str, ...]) -> Tensor:
    x = model.stem(images)
    for place in block_places(model):
        x = deleted(place.module, x) if place.name in names else place.module(x)
    return model.head(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_lesion_is_the_block_deleted_by_hand(build: Any, images: Tensor, network: dict[str, Any]) -> None:
    model = build(**network)
    names = tuple(place.name for place in block_places(model))
    whole = by_hand(model, images, ())
    for group in ((names[0],), (names[2],), (names[-1],), names[1:4], names):
        expected = by_hand(model, images, group)
        assert not torch.allclose(expected, whole), "otherwise this test shows nothing"
        with lesioned(model, group) as changed, torch.no_grad():
            assert changed is model
            assert torch.equal(model(images), expected), group
    with torch.no_grad():
        assert torch.equal(model(images), whole)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_study_gives_what_one_pass_per_group_gives(build: Any, split: Split, network: dict[str, Any]) -> None:
    model = build(**network)
    names = tuple(place.name for place in block_places(model))
    groups = [
        *each_block(model),
        names[:2],
        names[-2:],
        (names[1], names[3]),
        (names[1], names[2]),
        (names[2], names[1]),
        (names[0], names[0]),
    ]
    lesions = lesion_accuracies(model, split, SPEC, groups, probabilities=True, batch_size=11)
    assert [lesion.blocks for lesion in lesions] == [tuple(group) for group in groups]
    for lesion in lesions:
        logits = by_hand(model, normalize(split.images, SPEC), lesion.blocks)
        right = (logits.argmax(1) == split.labels).numpy()
        assert lesion.accuracy == right.mean()
        for label in range(3):
            assert lesion.per_class[label] == right[split.labels.numpy() == label].mean()
        assert np.isnan(lesion.per_class[3])
        assert lesion.probabilities is not None
        assert lesion.probabilities.shape == (30, 4)
        assert np.allclose(lesion.probabilities, logits.softmax(1).numpy(), atol=1e-5)


def test_probabilities_are_kept_only_where_asked_for(build: Any, split: Split) -> None:
    assert lesion_accuracies(build(), split, SPEC, [()])[0].probabilities is None


def test_a_study_of_single_blocks_shares_the_way_there(build: Any, split: Split) -> None:
    """With n blocks, group k runs the n - k blocks behind its own: n (n + 1) / 2 runs and the unbroken pass, not n (n + 1)."""
    model = build("resnet20")
    runs: list[int] = []
    stems: list[int] = []
    for place in block_places(model):
        place.module.register_forward_hook(lambda *_: runs.append(1))
    model.stem.register_forward_hook(lambda *_: stems.append(1))
    lesion_accuracies(model, split, SPEC, each_block(model))
    assert len(runs) == 9 + 9 * 10 // 2
    assert len(stems) == 1


@pytest.mark.parametrize("name", ["resnet8", "resnet14"])
def test_the_lesion_of_a_zero_gamma_block_changes_nothing(build: Any, split: Split, name: str) -> None:
    model = build(name)
    places = block_places(model)
    for place in places[:2]:
        nn.init.zeros_(place.module.residual.norm2.weight)
        nn.init.zeros_(place.module.residual.norm2.bias)
    whole, *lesions = lesion_accuracies(model, split, SPEC, each_block(model), probabilities=True)
    assert whole.probabilities is not None
    for lesion in lesions[:2]:
        assert lesion.accuracy == whole.accuracy
        assert np.abs(lesion.probabilities - whole.probabilities).max() == 0
    assert np.abs(lesions[2].probabilities - whole.probabilities).max() > 0


def test_a_lesioned_block_can_be_measured_as_any_other(build: Any, images: Tensor) -> None:
    model = build("resnet8", option="B")
    with lesioned(model, ["stages.1.0"]):
        off = residual_statistics(model, images)[1]
    assert (off.name, off.residual_norm, off.ratio, off.residual_std) == ("stages.1.0", 0, 0, 0)
    assert off.shortcut_norm is not None
    assert off.shortcut_norm > 0


def test_lesions_within_lesions(build: Any, images: Tensor) -> None:
    model = build("resnet14")
    with torch.no_grad(), lesioned(model, ["stages.0.0"]):
        with lesioned(model, ["stages.2.1", "stages.0.0"]):
            assert torch.equal(model(images), by_hand(model, images, ("stages.2.1",)))
        once = model(images)
    assert torch.equal(once, by_hand(model, images, ("stages.0.0",)))


def test_an_unknown_block_is_answered_with_the_valid_ones(build: Any, split: Split) -> None:
    for ask in (lambda m: lesioned(m, ["stages.3.0"]).__enter__(), lambda m: lesion_accuracies(m, split, SPEC, [["stages.3.0"]])):
        with pytest.raises(UserError, match=r"no block 'stages.3.0'; its blocks are stages.0.0, stages.1.0, stages.2.0"):
            ask(build())


def test_what_has_no_blocks_and_no_images_says_so(build: Any, split: Split) -> None:
    with pytest.raises(UserError, match="has no residual blocks"):
        lesion_accuracies(nn.Sequential(nn.Flatten(), nn.Linear(144, 4)), split, SPEC, [()])
    with pytest.raises(UserError, match="at least 1, got 0"):
        lesion_accuracies(build(), split.take(torch.arange(0)), SPEC, [()])


def test_progress_is_told_and_may_stop(build: Any, split: Split, witness: Any) -> None:
    model = build()
    witness(model)
    told: list[tuple[int, int]] = []
    lesion_accuracies(model, split, SPEC, [()], batch_size=8, progress=lambda done, total: told.append((done, total)))
    assert told == [(8, 30), (16, 30), (24, 30), (30, 30)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        lesion_accuracies(model, split, SPEC, each_block(model), progress=stop)


# -- other orders -----------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def in_order(model: Any, images: Tensor, order: tuple[str, ...], off: tuple[str, ...] = ()) -> Tensor:
    """Logits of the blocks run one after the other by hand."""
    modules = {place.name: place.module for place in block_places(model)}
    x = model.stem(images)
    for name in order:
        x = deleted(modules[name], x) if name in off else modules[name](x)
    return model.head(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "network", [{"name": "resnet20"}, {"name": "plain20"}, {"name": "resnet20", "option": "B", "version": "v2"}], ids=str
)
def test_blocks_run_in_the_order_that_is_given(build: Any, split: Split, network: dict[str, Any]) -> None:
    model = build(**network)
    names = tuple(place.name for place in block_places(model))
    images = normalize(split.images, SPEC)
    whole = in_order(model, images, names).softmax(1)
    for order in (swapped(names, "stages.0.0", "stages.0.2"), (*names, names[-1], names[-1]), names[:1] + names[3:]):
        for off in ((), ("stages.2.2",)):
            (lesion,) = lesion_accuracies(model, split, SPEC, [off], order=order, probabilities=True)
            expected = in_order(model, images, order, off).softmax(1)
            assert not torch.allclose(expected, whole, atol=1e-3), "otherwise this test shows nothing"
            assert lesion.probabilities is not None
            assert np.allclose(lesion.probabilities, expected.numpy(), atol=1e-5)


def test_an_order_in_which_channels_do_not_fit_says_where(build: Any, split: Split) -> None:
    model = build("resnet14")
    with pytest.raises(UserError, match=r"stages.1.0 takes 8 channels and cannot follow stages.1.0, which gives 16"):
        lesion_accuracies(model, split, SPEC, [()], order=["stages.0.0", "stages.1.0", "stages.1.0"])
    with pytest.raises(UserError, match=r"head takes 32 channels and cannot follow stages.1.0"):
        lesion_accuracies(model, split, SPEC, [()], order=["stages.0.0", "stages.1.0"])


def test_what_can_change_places(build: Any) -> None:
    model = build("resnet20")
    assert swappable(model, "stages.0.0") == ("stages.0.1", "stages.0.2")
    assert swappable(model, "stages.1.0") == ()
    assert swappable(model, "stages.2.1") == ("stages.2.2",)
    assert swapped(("a", "b", "c"), "a", "c") == ("c", "b", "a")


def test_random_groups_are_different_ones_of_each_size_and_repeatable() -> None:
    names = tuple("abcdef")
    groups = random_blocks(names, [1, 3, 6], draws=8, seed=4)
    assert [len(group) for group in groups] == [1] * 6 + [3] * 8 + [6]  # there are only six groups of one, and one of all
    assert len(set(groups)) == len(groups)
    assert all(tuple(sorted(group)) == group for group in groups)
    assert groups == random_blocks(names, [1, 3, 6], draws=8, seed=4)
    assert groups != random_blocks(names, [1, 3, 6], draws=8, seed=5)
