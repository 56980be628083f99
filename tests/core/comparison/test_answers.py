"""Two networks' answers: the same numbers as `evaluate`, every image in its cell, shortcuts by their definition."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resnet_core.comparison import SHORTCUTS, PairAnswers, answer, conditions, cost, pair_images
from resnet_core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from resnet_core.data import DataSpec, load_split
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs import Checkpoint, find_checkpoint, load_model
from resnet_core.training import evaluate


@pytest.fixture(scope="module")
def pair() -> PairAnswers:
    """The shipped networks on 300 noisy digits, on which they make mistakes."""
    _, split = load_split(DataConfig(), "test")
    noise = torch.randint(-150, 151, (300, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    some = split.take(torch.arange(300))
    some = replace(some, images=(some.images.int() + noise).clamp(0, 255).to(torch.uint8))
    found = []
    for name in ("resnet20-mnist", "plain20-mnist"):
        checkpoint = find_checkpoint(name)
        model = load_model(checkpoint)
        found.append(answer(model, some, checkpoint.spec))
        expected = evaluate(model, some, checkpoint.spec)
        assert found[-1].accuracy.value == expected.accuracy
        assert found[-1].evaluation.loss == pytest.approx(expected.loss, rel=1e-5)
    return PairAnswers(a=found[0], b=found[1])


def test_a_slow_first_batch_does_not_make_a_slow_network() -> None:
    checkpoint = find_checkpoint("resnet20-mnist")
    _, split = load_split(DataConfig(), "test")
    model, waits = load_model(checkpoint), iter([0.5])
    model.register_forward_pre_hook(lambda *_: time.sleep(next(waits, 0.0)))
    found = answer(model, split.take(torch.arange(100)), checkpoint.spec, batch_size=20)
    assert found.expected_seconds_per_1000 > 5  # half a second for 100
    assert found.seconds_per_1000 < found.expected_seconds_per_1000 - 4


@pytest.mark.parametrize("against", ["b", "label"])
def test_every_image_stands_in_the_cell_of_its_answers(pair: PairAnswers, against: str) -> None:
    matrix = pair.matrix(against)
    columns = pair.b.predictions if against == "b" else pair.a.labels
    seen = []
    for row, column in np.argwhere(matrix):
        cell = pair.cell(int(row), int(column), against)
        assert len(cell) == matrix[row, column]
        assert set(pair.a.predictions[cell]) == {row}
        assert set(columns[cell]) == {column}
        seen += cell.tolist()
    assert sorted(seen) == list(range(len(pair)))
    assert not len(pair.cell(0, 1, against)) or matrix[0, 1]


def test_shortcuts_by_their_definition(pair: PairAnswers) -> None:
    a, b, labels = pair.a.predictions, pair.b.predictions, pair.a.labels
    expected = {
        "a_only": (a == labels) & (b != labels),
        "b_only": (a != labels) & (b == labels),
        "both_wrong": (a != labels) & (b != labels),
        "disagree": a != b,
        "confident_mistakes": (a != labels) | (b != labels),
    }
    assert set(expected) == set(SHORTCUTS)
    for name, mask in expected.items():
        found = pair.shortcut(name)
        assert mask.sum() > 1, "the noise is there to make this test say something"
        assert sorted(found) == np.flatnonzero(mask).tolist()
    mistakes = pair.shortcut("confident_mistakes")
    sure = [max(n.confidence[i] for n in (pair.a, pair.b) if not n.right[i]) for i in mistakes]
    assert sure == sorted(sure, reverse=True)
    with pytest.raises(UserError, match="both_wrong"):
        pair.shortcut("a_left")


def test_cost_is_what_torch_counts() -> None:
    checkpoint = find_checkpoint("plain20-mnist")
    found, model = cost(checkpoint), load_model(checkpoint)
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    with FlopCounterMode(display=False) as flops:
        model(torch.zeros(1, 1, 28, 28))
    assert 2 * found.macs == flops.get_total_flops()
    assert found.bytes == len(checkpoint.path.read_bytes())


def test_the_shipped_pair_was_a_fair_experiment_and_other_seeds_are_not() -> None:
    a, b = find_checkpoint("resnet20-mnist"), find_checkpoint("plain20-mnist")
    found = conditions(a, b)
    assert (found.same_weights, found.same_order, found.differences) == (True, True, ())
    assert found.shared == len(list(build_model(a.config.model, a.spec, seed=None).parameters()))
    other = replace(b, config=RunConfig.from_flat({"seed": 1, "weight_decay": 0.1}, b.config))
    found = conditions(a, other)
    assert (found.same_weights, found.same_order) == (False, False)
    assert {(d.name, d.a, d.b) for d in found.differences} == {("seed", 0, 1), ("weight_decay", 5e-4, 0.1)}
    assert conditions(a, replace(b, config=RunConfig.from_flat({"start_from": "x"}, b.config))).same_weights is None


def test_of_a_network_that_was_trained_elsewhere_nothing_is_known() -> None:
    """Its file says neither seed nor data nor settings; those that it is kept with are only the defaults."""
    a = find_checkpoint("resnet20-mnist")
    b = replace(a, name="theirs", metrics={"imported_from": "theirs.pth", "normalisation": "dataset"})
    for found in (conditions(a, b), conditions(b, a)):
        assert (found.same_weights, found.same_order, found.same_settings) == (None, None, None)
        assert (found.elsewhere, found.differences) == (("theirs",), ())


def described(**changes: object) -> Checkpoint:
    spec = DataSpec(name="mnist-mini", channels=1, height=28, width=28, classes=tuple("0123456789"), mean=(0.5,), std=(0.5,))
    config = RunConfig(model=ModelConfig(model="resnet8"), train=TrainConfig())
    return replace(find_checkpoint("resnet20-mnist"), spec=replace(spec, **changes), config=config)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"channels": 3}, "pair_channels"), ({"classes": ("a", "b")}, "pair_classes"), ({"classes": tuple("ABCDEFGHIJ")}, "pair_classes")],
)
def test_networks_for_different_data_are_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(UserError) as refused:
        pair_images(described(), described(**changes), DataConfig(), "test")
    assert refused.value.code == code


def test_each_network_gets_the_same_images_at_its_own_size() -> None:
    small = described(height=14, width=14)
    small = replace(small, config=RunConfig.from_flat({"image_size": 14}, small.config))
    one, other = pair_images(described(), small, DataConfig(), "valid")
    assert one.images.shape[-2:] == (28, 28)
    assert other.images.shape[-2:] == (14, 14)
    assert torch.equal(one.labels, other.labels)
    shrunk = torch.nn.functional.avg_pool2d(one.images.float(), 2)
    assert (shrunk - other.images.float()).abs().mean() < 12
