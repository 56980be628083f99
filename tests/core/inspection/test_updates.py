"""What one step changes of a layer, against a step of the optimizer that trains."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import TrainConfig
from resnet_core.inspection import measure_gradients
from resnet_core.training.optimization import make_optimizer

RECIPES: list[dict[str, Any]] = [
    {},
    {"momentum": 0.0, "weight_decay": 0.0},
    {"nesterov": False, "learning_rate": 3.0},
    {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.1},
    {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1},
    {"clip_norm": 0.01},
    {"optimizer": "adam", "learning_rate": 1e-3, "clip_norm": 1e-6, "decay_all": False},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("name", ["resnet8", "plain8"])
def test_it_is_the_first_step_of_the_optimizer(build: Any, images: Tensor, labels: Tensor, name: str, recipe: dict[str, Any]) -> None:
    train = TrainConfig(**recipe)
    model = build(name)
    report = measure_gradients(model, images, labels, training=True, train=train)
    stepped = copy.deepcopy(model).train()
    optimizer = make_optimizer(train, stepped)
    nn.functional.cross_entropy(stepped(images), labels).backward()
    if train.clip_norm is not None:
        nn.utils.clip_grad_norm_(stepped.parameters(), train.clip_norm)
    optimizer.step()
    before, after = dict(model.named_parameters()), dict(stepped.named_parameters())
    assert len(report.layers) == 8
    for layer in report.layers:
        weight = before[f"{layer.name}.weight"].detach().double()
        change = after[f"{layer.name}.weight"].detach().double() - weight
        assert layer.update_ratio == pytest.approx(float(change.norm() / weight.norm()), rel=2e-3), layer.name


def test_without_a_recipe_there_is_no_update(build: Any, images: Tensor, labels: Tensor) -> None:
    assert all(layer.update_ratio is None for layer in measure_gradients(build(), images, labels).layers)


def test_weights_of_zero_have_no_ratio(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build()
    with torch.no_grad():
        model.head.fc.weight.zero_()
    assert measure_gradients(model, images, labels, train=TrainConfig()).layers[-1].update_ratio == 0
