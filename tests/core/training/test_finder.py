"""The sweep against a loop by hand and against the edge of stability, which is known for a parabola; nothing of the network is kept."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_core import cli
from resnet_core.config import RunConfig
from resnet_core.data.spec import Splits
from resnet_core.models import build_model
from resnet_core.training import StepDone, Training
from resnet_core.training.finder import Tried, finding, sweep, training_batches
from resnet_core.training.freezing import freeze_all_but_head
from resnet_core.training.optimization import make_optimizer


class Parabola(nn.Module):
    """logits = w, so that the loss below is 1/2 * curvature * |w|^2: gradient descent explodes from a rate of 2 / curvature on."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[3.0, -2.0]]))
        self.norm = nn.BatchNorm1d(2)

    def forward(self, images: Tensor) -> Tensor:
        self.norm(images)
        return self.w


@pytest.mark.parametrize("curvature", [0.5, 20.0])
def test_the_suggestion_lies_below_the_edge_of_stability_of_a_parabola(curvature: float) -> None:
    def batch(step: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return torch.randn(4, 2), lambda logits: 0.5 * curvature * logits.square().sum()

    tried = list(sweep(Parabola(), batch, lambda m: torch.optim.SGD(m.parameters(), lr=1.0), low=1e-4, high=1e4, steps=160))
    found = finding(tried)
    assert found.exploded
    assert tried[-1].learning_rate < 100 * 2 / curvature, "it ends soon after the edge"
    assert found.suggestion is not None
    assert 0.02 / curvature < found.suggestion < 2 / curvature
    w, reference = torch.tensor([3.0, -2.0]), []
    for t in tried:
        reference.append(0.5 * curvature * float(w.square().sum()))
        w = w - t.learning_rate * curvature * w
    assert [t.loss for t in tried] == pytest.approx(reference, rel=1e-4)
    steps = np.log([t.learning_rate for t in tried])
    assert np.diff(steps) == pytest.approx(math.log(1e8) / 159), "the rate climbs exponentially"


def test_the_moving_average_is_without_bias() -> None:
    def batch(step: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return torch.randn(4, 2), lambda logits: 0 * logits.sum() + 2.5

    tried = list(sweep(Parabola(), batch, lambda m: torch.optim.SGD(m.parameters(), lr=1.0), low=1e-4, high=1.0, steps=30))
    assert [t.smoothed for t in tried] == pytest.approx([2.5] * 30)
    assert finding(tried).suggestion is None, "a loss that never falls suggests nothing"


def test_a_network_and_the_random_numbers_are_given_back_even_when_nobody_asks_for_the_rest() -> None:
    model = Parabola().eval()
    model.w.grad = torch.ones(1, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)

    def batch(step: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return torch.randn(4, 2), lambda logits: logits.square().sum()

    steps = sweep(model, batch, lambda m: torch.optim.SGD(m.parameters(), lr=1.0), low=0.1, high=1.0, steps=30)
    for _ in range(3):
        next(steps)
    assert not torch.equal(model.w, before["w"]), "otherwise this test shows nothing"
    assert int(model.norm.num_batches_tracked or 0) == 3
    steps.close()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(torch.rand(3), expected)
    assert not model.training
    assert model.w.grad is not None
    assert model.w.grad.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.2, "rotation": 20, "erase_p": 0.5, "mixup": 0.4, "optimizer": "adamw"},
        {"clip_norm": 0.05},
        {"freeze_epochs": 1, "epochs": 1},
        {"freeze_epochs": 1, "epochs": 1, "freeze_statistics": False},
    ],
    ids=["plain", "all", "clipped", "frozen", "frozen_but_statistics"],
)
def test_its_steps_are_those_of_a_training_with_these_rates(
    splits: Splits, config: Callable[..., RunConfig], changes: dict[str, Any]
) -> None:
    cfg = config(schedule="constant", learning_rate=0.02, **changes)
    training = Training(cfg, splits, device=torch.device("cpu"))
    expected = [event.loss for event in training.events() if isinstance(event, StepDone)]
    model = build_model(cfg.model, splits.spec, seed=cfg.train.seed)
    if cfg.train.freeze_epochs:
        freeze_all_but_head(model)
    steps = sweep(
        model,
        training_batches(cfg, splits),
        lambda m: make_optimizer(cfg.train, m),
        low=0.02,
        high=0.02,
        steps=len(expected),
        clip_norm=cfg.train.clip_norm,
        freeze_statistics=cfg.train.freeze_statistics,
    )
    assert [t.loss for t in steps] == expected


def test_steepest_is_read_before_the_lowest_point_and_not_from_the_first_steps() -> None:
    rates = np.geomspace(1e-4, 1, 60)
    loss = 2.0 - 1.5 / (1 + np.exp(-2 * (np.log10(rates) + 2) / 0.3)) + np.where(rates > 0.3, 5.0, 0.0)
    loss[:3] = (9.0, 5.0, 2.0)  # the noise of the beginning
    tried = [Tried(step=i + 1, steps=60, learning_rate=r, loss=v, smoothed=v) for i, (r, v) in enumerate(zip(rates, loss, strict=True))]
    assert finding(tried).suggestion == pytest.approx(1e-2, rel=0.2)
    assert finding([]).suggestion is None


def test_noise_of_small_batches_does_not_decide() -> None:
    """A loss that falls around 3e-2, under noise ten times as large as a step's fall: the suggestion is near for each of many draws."""
    rates = np.geomspace(1e-5, 10, 100)
    true = 2.5 - 1.2 / (1 + np.exp(-(np.log10(rates) + 1.5) / 0.25)) + np.where(rates > 2, 3.0, 0.0)
    suggested = []
    for seed in range(50):
        losses = true + np.random.default_rng(seed).normal(0, 0.15, 100)
        mean = np.array([np.average(losses[: i + 1], weights=0.9 ** np.arange(i, -1, -1)) for i in range(100)])
        tried = [Tried(step=i + 1, steps=100, learning_rate=rates[i], loss=losses[i], smoothed=mean[i]) for i in range(100)]
        suggested.append(finding(tried).suggestion or 0.0)
    assert min(suggested) > 10**-2.5
    assert max(suggested) < 10**-0.5


def test_on_the_command_line(own_runs: None, digits: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.runs.process.step_back", lambda level: None)  # all later tests of this process would have to wait
    settings = ("width=0.25", "batch_size=32", "precision=float32", "memory_format=contiguous", "device=cpu")
    command = ["find-lr", "--model", "resnet8", "--dataset", digits, "--steps", "40", *(x for s in settings for x in ("--set", s))]
    assert cli.run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert cli.run([*command, "--events"]) == 0
    *lines, end = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["loss"] for line in lines] == found["losses"]
    assert [line["smoothed"] for line in lines] == found["smoothed"]
    assert end == {"event": "end", "suggestion": found["suggestion"], "exploded": found["exploded"]}
    assert 1e-5 < found["suggestion"] < 10
    assert cli.run([*command, "--low", "2", "--high", "1"]) == 2
    assert "high must be at least 2" in capsys.readouterr().err
