"""Evaluation against a loop over single images."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from resnet_core.data.spec import Split, Splits
from resnet_core.training import Training, evaluate, predict_batches, score
from resnet_core.training.device import ComputePlan
from resnet_core.training.freezing import freeze_all_but_head, hold_frozen_statistics


@pytest.fixture
def trained(start: Callable[..., Training]) -> Training:
    training = start(epochs=2)
    list(training.events())
    return training


@pytest.mark.parametrize("batch_size", [1, 7, 20, 500])
def test_a_split_measured_is_its_images_counted_one_by_one(trained: Training, splits: Splits, batch_size: int) -> None:
    model = trained.model.train()
    found = evaluate(model, splits.valid, splits.spec, batch_size=batch_size)
    assert model.training
    model.eval()
    confusion, losses, logits = np.zeros((4, 4), dtype=int), [], []
    for image, label in zip(splits.valid.images, splits.valid.labels.tolist(), strict=True):
        pixels = (image[None].float() / 255 - 0.5) / 0.29
        with torch.no_grad():
            row = model(pixels)[0]
        confusion[label, int(row.argmax())] += 1
        losses.append(float(-row.log_softmax(0)[label]))
        logits.append(row.numpy())
    assert found.n == 20
    assert (found.confusion == confusion).all()
    assert found.accuracy == np.trace(confusion) / 20
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert np.allclose(found.logits, logits, atol=1e-5)
    for label in range(4):
        assert found.per_class[label] == confusion[label, label] / confusion[label].sum()


def test_a_class_without_images_has_no_accuracy() -> None:
    found = score(torch.eye(3)[[0, 1, 1]], torch.tensor([0, 1, 0]), 3)
    assert found.per_class[:2] == (0.5, 1.0)
    assert math.isnan(found.per_class[2])
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.accuracy == 2 / 3


def test_predictions_come_batch_by_batch_with_what_is_done(trained: Training, splits: Splits) -> None:
    parts = list(predict_batches(trained.model, splits.valid, splits.spec, batch_size=8))
    assert [done for done, _ in parts] == [8, 16, 20]
    whole = evaluate(trained.model, splits.valid, splits.spec).logits
    assert np.allclose(torch.cat([logits for _, logits in parts]).numpy(), whole, atol=1e-5)


def test_every_module_gets_its_own_mode_back(trained: Training, splits: Splits) -> None:
    """Also the frozen BatchNorms that stay in eval mode while the rest trains, and after an exception."""
    model = trained.model
    freeze_all_but_head(model)
    model.train()
    hold_frozen_statistics(model)
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    evaluate(model, splits.valid, splits.spec)
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError):
        evaluate(model, Split(images=splits.valid.images.repeat(1, 2, 1, 1), labels=splits.valid.labels), splits.spec)
    assert [module.training for module in model.modules()] == modes


def test_evaluation_changes_no_statistics(trained: Training, splits: Splits) -> None:
    model = trained.model.train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    evaluate(model, splits.valid, splits.spec)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_a_plan_is_followed(trained: Training, splits: Splits) -> None:
    exact = evaluate(trained.model, splits.valid, splits.spec)
    plan = ComputePlan(precision="bfloat16", memory_format="channels_last")
    rough = evaluate(trained.model, splits.valid, splits.spec, plan=plan)
    assert rough.logits.dtype == np.float32
    assert not np.array_equal(rough.logits, exact.logits)
    assert np.allclose(rough.logits, exact.logits, atol=0.2)
