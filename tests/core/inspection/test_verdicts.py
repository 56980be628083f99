"""Verdicts on a trained network with one planted fault each: the fault is found, named with its evidence, and nothing else is accused."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import DataConfig
from resnet_core.data import Split, load_split, some_images
from resnet_core.inspection.verdicts import FINDINGS, BlockEvidence, Finding, NetworkEvidence, examine, judge
from resnet_core.models import find_block
from resnet_core.runs import find_checkpoint, initial_model, load_model

BLOCK = "stages.1.2"  # costs nothing when it is off


@pytest.fixture(scope="module")
def split() -> Split:
    _, test = load_split(DataConfig(), "test")
    return test.take(some_images(len(test), 80, 0))


def zero_branch(model: nn.Module) -> None:
    residual = find_block(model, BLOCK).module.residual
    nn.init.zeros_(residual.norm2.bias)
    nn.init.zeros_(residual.conv2.weight)
    nn.init.zeros_(residual.norm2.running_mean)


def zero_gamma(model: nn.Module) -> None:
    residual = find_block(model, BLOCK).module.residual
    nn.init.zeros_(residual.norm2.weight)
    nn.init.zeros_(residual.norm2.bias)


def dead_relus(model: nn.Module) -> None:
    """All ReLUs inside the branch, as after a step that was far too long."""
    nn.init.constant_(find_block(model, BLOCK).module.residual.norm1.bias, -1e4)


def dead_outputs(model: nn.Module) -> None:
    """Three quarters of the channels pushed below 0 behind the add, on every image."""
    bias: Tensor = find_block(model, "stages.2.1").module.residual.norm2.bias
    with torch.no_grad():
        bias[:48] = -1e4


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def cut_shortcut(model: nn.Module) -> None:
    find_block(model, "stages.0.1").module.shortcut = Nothing()


def no_shortcut(model: nn.Module) -> None:
    block = find_block(model, "stages.0.1").module
    block.shortcut = block.add = None


def far_too_long_a_step(model: nn.Module) -> None:
    """What a learning rate far too high leaves: weights driven along one direction, one answer for everything."""
    with torch.no_grad():
        model.head.fc.weight.mul_(0.01)  # type: ignore[union-attr]
        model.head.fc.bias[3] += 100  # type: ignore[union-attr]


PLANTED: dict[str, tuple[Callable[[nn.Module], None], str, str | None]] = {
    "zeroed branch": (zero_branch, "silent", BLOCK),
    "gamma 0": (zero_gamma, "gamma", BLOCK),
    "dead ReLUs": (dead_relus, "constant", BLOCK),
    "dead outputs": (dead_outputs, "dead", "stages.2.1"),
    "cut shortcut": (cut_shortcut, "cut", "stages.0.1"),
    "missing shortcut": (no_shortcut, "cut", "stages.0.1"),
    "one answer for all": (far_too_long_a_step, "collapsed", None),
}


def findings(model: nn.Module, split: Split, name: str = "resnet20-mnist") -> tuple[tuple[Finding, ...], NetworkEvidence]:
    found = find_checkpoint(name)
    evidence = examine(model, initial_model(found), split, found.spec)
    return judge(evidence), evidence


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_where_it_is(split: Split, fault: str) -> None:
    plant, code, block = PLANTED[fault]
    model = load_model(find_checkpoint("resnet20-mnist"))
    plant(model)
    (first, *others), _ = findings(model, split)
    assert (first.code, first.block) == (code, block)
    assert FINDINGS[first.code] == "fault"
    assert len(first.evidence) >= 3, "never from one number alone"
    assert [other for other in others if FINDINGS[other.code] == "fault"] == []


def test_the_sound_network_is_not_accused_of_any_fault(split: Split) -> None:
    found, evidence = findings(load_model(find_checkpoint("resnet20-mnist")), split)
    assert not [finding for finding in found if FINDINGS[finding.code] == "fault"]
    assert evidence.accuracy > 0.95
    assert evidence.blocks[0].name == "stages.0.0"
    assert evidence.blocks[0].drop > 0.5


def test_a_plain_network_is_told_that_it_needs_every_block(split: Split) -> None:
    (only,), _ = findings(load_model(find_checkpoint("plain20-mnist")), split, "plain20-mnist")
    assert (only.code, only.block) == ("plain", None)
    assert only.evidence["dear"] > 4


def test_an_untrained_network_is_not_judged(split: Split) -> None:
    found = find_checkpoint("resnet20-mnist")
    evidence = examine(initial_model(found), initial_model(found), split.take(torch.arange(20)), found.spec, trained=False)
    assert [finding.code for finding in judge(evidence)] == ["untrained"]


def test_looking_leaves_the_model_as_found(split: Split, witness: Any) -> None:
    found = find_checkpoint("resnet20-mnist")
    model = load_model(found)
    witness(model)
    examine(model, initial_model(found), split.take(torch.arange(10)), found.spec)


# -- at the thresholds ------------------------------------------------------------------------------------------------------------

SOUND = BlockEvidence(
    name="stages.0.1", ratio=0.8, initial_ratio=0.9, residual_norm=10, variation=0.8, dead_share=0.0, initial_dead_share=0.0,
    inner_dead_share=0.0, initial_inner_dead_share=0.0, gamma=1.2, shortcut_share=1.0, drop=0.02,
)  # fmt: skip


def judged(**changes: Any) -> str:
    network = NetworkEvidence(
        accuracy=0.9, chance=0.1, one_answer=0.12, images=500, trained=True, blocks=(SOUND, dataclasses.replace(SOUND, **changes))
    )
    (finding,) = judge(network)
    return finding.code


@pytest.mark.parametrize(
    ("one", "both", "code"),
    [
        ({"ratio": 0.1}, {"ratio": 0.1, "drop": 0.001}, "idle"),
        ({"drop": 0.0}, {"ratio": 0.1, "drop": 0.0}, "idle"),
        ({"gamma": 0.0}, {"gamma": 0.0, "ratio": 0.0}, "gamma"),
        ({"ratio": 0.0}, {"ratio": 0.0, "drop": 0.0}, "silent"),
        ({"inner_dead_share": 0.9}, {"inner_dead_share": 0.9, "variation": 0.0}, "constant"),
        ({"variation": 0.0}, {"inner_dead_share": 0.9, "variation": 0.0}, "constant"),
        ({"dead_share": 0.6, "initial_dead_share": 0.5}, {"dead_share": 0.6, "initial_dead_share": 0.1}, "dead"),
        ({"shortcut_share": 0.0, "drop": 0.0}, {"shortcut_share": 0.0, "drop": 0.6}, "cut"),
    ],
    ids=lambda value: str(value),
)
def test_one_number_alone_accuses_nobody(one: dict[str, float], both: dict[str, float], code: str) -> None:
    assert judged(**one) == "healthy"
    assert judged(**both) == code


@pytest.mark.parametrize(("accuracy", "codes"), [(0.9, {"plain"}), (0.12, {"healthy"})], ids=["learned", "guesses"])
def test_blocks_of_a_plain_network_are_dear_only_where_something_was_learned(accuracy: float, codes: set[str]) -> None:
    """Of a network that guesses, every block costs at least the nothing that there is to lose."""
    block = dataclasses.replace(SOUND, shortcut_share=None, ratio=None, initial_ratio=None, drop=0.4 if accuracy > 0.5 else 0.03)
    network = NetworkEvidence(accuracy=accuracy, chance=0.1, one_answer=0.4, images=500, trained=True, blocks=(block, block))
    assert {finding.code for finding in judge(network)} == codes
