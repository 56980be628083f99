"""The loop against one written out here, its order and seeds, its events, and when it ends."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import RunConfig
from resnet_core.data import normalize
from resnet_core.data.spec import DataSpec, Split, Splits
from resnet_core.errors import UserError
from resnet_core.inspection import residual_statistics
from resnet_core.models import build_model, part_of
from resnet_core.training import (
    BlocksMeasured,
    EpochDone,
    RunStarted,
    StepDone,
    Training,
    Validating,
    device_name,
    epoch_order,
    evaluate,
    steps_per_epoch,
    train,
)
from resnet_core.training.loop import PROBE_IMAGES
from tests.core.training.conftest import SPEC, random_split

Start = Callable[..., Training]
CLOCK = ("seconds", "images_per_second")


def history(training: Training) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in training.history]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def losses(training: Training) -> list[float]:
    return [event.loss for event in training.events() if isinstance(event, StepDone)]


# -- against a loop written out ----------------------------------------------------------------------------------------------------------


def optimizer_by_hand(kind: str, model: nn.Module) -> torch.optim.Optimizer:
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](model.parameters(), lr=0.05, weight_decay=5e-4, fused=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "plain8", "optimizer": "adam"},
        {"optimizer": "adamw", "label_smoothing": 0.1},
        {"clip_norm": 0.5},
        {"momentum": 0, "nesterov": True},
    ],
    ids=str,
)
def test_three_epochs_are_those_of_a_loop_written_out(splits: Splits, config: Any, start: Start, changes: dict[str, Any]) -> None:
    training = start(schedule="constant", seed=4, **changes)
    steps = [event for event in training.events() if isinstance(event, StepDone)]
    cfg: RunConfig = config(**changes)
    model = build_model(cfg.model, splits.spec, seed=4).train()
    optimizer = optimizer_by_hand(cfg.train.optimizer, model)
    if "momentum" in changes:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=5e-4)
    for epoch in (1, 2, 3):
        order = epoch_order(50, 4, epoch)
        for batch in order.split(16):
            logits = model(normalize(splits.train.images[batch], splits.spec))
            loss = nn.functional.cross_entropy(logits, splits.train.labels[batch], label_smoothing=changes.get("label_smoothing", 0))
            optimizer.zero_grad()
            loss.backward()
            event = steps.pop(0)
            assert event.loss == loss.item()
            for part, norm in event.stage_gradient_norms.items():
                gradients = [p.grad.flatten() for name, p in model.named_parameters() if part_of(name) == part]
                assert norm == pytest.approx(float(torch.cat(gradients).norm()), rel=1e-5)
            if "clip_norm" in changes:
                before = nn.utils.clip_grad_norm_(model.parameters(), changes["clip_norm"])
                assert epoch > 1 or before > changes["clip_norm"], "otherwise this test shows nothing"
            optimizer.step()
    assert not steps
    assert same(training.weights(), model.state_dict())


def test_epoch_means_are_weighted_by_images(start: Start, splits: Splits) -> None:
    """The last batch has 2 images of 50; train accuracy counts what the network said as it changed."""
    training = start(epochs=1)
    right = []
    training.model.register_forward_hook(lambda m, i, o: right.append((len(o), o.detach().argmax(1))) if m.training else None)
    events = list(training.events())
    steps, (epoch,) = [e for e in events if isinstance(e, StepDone)], [e for e in events if isinstance(e, EpochDone)]
    sizes = [count for count, _ in right]
    assert sizes == [16, 16, 16, 2]
    assert epoch.train_loss == pytest.approx(sum(e.loss * n for e, n in zip(steps, sizes, strict=True)) / 50, rel=1e-12)
    labels = splits.train.labels[epoch_order(50, 0, 1)]
    assert epoch.train_accuracy == float((torch.cat([p for _, p in right]) == labels).double().mean())
    judged = evaluate(training.model, splits.valid, splits.spec)
    assert (epoch.valid_accuracy, epoch.valid_loss) == (judged.accuracy, judged.loss)
    assert epoch.seconds > 0
    assert epoch.images_per_second > 0


# -- order and seeds ---------------------------------------------------------------------------------------------------------------------


def test_an_epoch_visits_every_image_once_in_an_order_of_its_own() -> None:
    orders = [epoch_order(100, seed, epoch) for seed in (0, 1, 2**31 - 1) for epoch in (1, 2, 3)]
    assert all(torch.equal(order.sort().values, torch.arange(100)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 9
    assert torch.equal(epoch_order(100, 1, 2), epoch_order(100, 1, 2))


@pytest.mark.parametrize(("count", "size", "steps"), [(50, 16, 4), (48, 16, 3), (49, 16, 3), (10, 16, 1), (1, 16, 1), (5, 1, 5)])
def test_a_single_left_over_image_is_left_out(count: int, size: int, steps: int) -> None:
    assert steps_per_epoch(count, size) == steps


def batches(training: Training) -> Iterator[Tensor]:
    seen: list[Tensor] = []
    training.model.register_forward_pre_hook(lambda m, i: seen.append(i[0].clone()) if m.training else None)
    for _ in training.events():
        pass
    return iter(seen)


def test_a_network_and_its_plain_twin_see_the_same_batches_and_start_alike(start: Start) -> None:
    changes = {"seed": 7, "rotation": 20, "translate": 0.2, "crop_padding": 1, "flip": True, "erase_p": 0.5, "mixup": 0.4, "epochs": 2}
    ours, twin = start(model="resnet8", **changes), start(model="plain8", **changes)
    assert same(ours.model.state_dict(), twin.model.state_dict())
    pairs = list(zip(batches(ours), batches(twin), strict=True))
    assert len(pairs) == 8
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not same(ours.model.state_dict(), twin.model.state_dict())


EVERYTHING = {
    "rotation": 20,
    "elastic": 1,
    "jitter": 0.2,
    "erase_p": 0.5,
    "mixup": 0.4,
    "stochastic_depth": 0.3,
    "ema_decay": 0.9,
    "probe_every": 2,
}


def test_the_same_seed_gives_the_same_history_whatever_happens_outside(start: Start) -> None:
    runs = []
    for other in (1, 2):
        torch.manual_seed(other)
        training = start(seed=5, **EVERYTHING)
        events = []
        for event in training.events():
            torch.rand(other)  # somebody else draws from the global stream
            events.append(dataclasses.replace(event, **dict.fromkeys(CLOCK, 0.0)) if isinstance(event, EpochDone) else event)
        kept = [dataclasses.replace(e, images_per_second=0.0) if isinstance(e, StepDone) else e for e in events]
        runs.append((kept, history(training), training.weights()))
    assert runs[0][0] == runs[1][0]
    assert runs[0][1] == runs[1][1]
    assert same(runs[0][2], runs[1][2])


@pytest.mark.parametrize("changes", [{}, {"rotation": 20}, {"mixup": 1}, {"stochastic_depth": 0.5}], ids=str)
def test_another_seed_gives_other_weights(start: Start, changes: dict[str, Any]) -> None:
    first, second = (start(seed=s, **changes) for s in (0, 1))
    assert losses(first) != losses(second)


# -- it learns ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["resnet8", "plain8"])
def test_sixty_four_images_can_be_learned_by_heart(splits: Splits, config: Any, model: str) -> None:
    generator = torch.Generator().manual_seed(0)
    few = Split(
        images=torch.randint(0, 256, (64, 1, 10, 10), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, 4, (64,), generator=generator),
    )
    by_heart = Splits(spec=splits.spec, train=few, valid=few, load_test=lambda: few)
    cfg = config(model=model, epochs=25, schedule="cosine", batch_size=32, optimizer="adam", learning_rate=0.01, weight_decay=0)
    epochs = [event for event in train(cfg, by_heart, device=torch.device("cpu")) if isinstance(event, EpochDone)]
    assert epochs[-1].train_loss < 0.01
    assert epochs[-1].valid_accuracy == 1


# -- events ------------------------------------------------------------------------------------------------------------------------------


def test_events_come_in_their_order(start: Start) -> None:
    training = start(epochs=2, probe_every=3)
    names = [type(event).__name__[0] for event in training.events()]
    # R un started, B locks measured, S tep, V alidating, E poch; step 3 and 6 are probed, step 8 ends an epoch, which measures itself
    assert "".join(names) == "RB" + "SSSBSVE" + "SSBSSVE"


def test_what_a_run_says_of_itself(start: Start) -> None:
    event = next(iter(start(epochs=2, freeze_epochs=1).events()))
    assert isinstance(event, RunStarted)
    assert (event.step, event.epochs, event.steps_per_epoch, event.total_steps) == (0, 2, 4, 8)
    assert (event.train_images, event.valid_images, event.precision, event.memory_format) == (50, 20, "float32", "contiguous")
    assert event.parameters == 19_074 - (10 - 4) * 33, "resnet8 of half the width, with 4 classes instead of 10"
    assert event.trainable == 4 * 33
    assert event.device == device_name(torch.device("cpu"))


def test_steps_and_epochs_are_counted_from_one(start: Start) -> None:
    events = list(start().events())
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [(e.step, e.epoch) for e in steps] == [(n + 1, n // 4 + 1) for n in range(12)]
    assert list(steps[0].stage_gradient_norms) == ["stem", "stages.0", "stages.1", "stages.2", "head"]
    assert [(e.epoch, e.step) for e in events if isinstance(e, EpochDone)] == [(1, 4), (2, 8), (3, 12)]


def test_probes_are_the_statistics_of_the_first_validation_images(start: Start, splits: Splits) -> None:
    training = start(probe_every=2)
    found = 0
    for event in training.events():
        if isinstance(event, BlocksMeasured | EpochDone):
            expected = residual_statistics(training.model, normalize(splits.valid.images[:64], splits.spec))
            assert tuple(dataclasses.replace(block, layer_grad_norms=None) for block in event.block_statistics) == expected
            found += 1
    assert found == 1 + 3 + 3


def test_probes_change_nothing(start: Start) -> None:
    without, with_them = start(epochs=5, stochastic_depth=0.2), start(epochs=5, stochastic_depth=0.2, probe_every=1)
    assert losses(without) == losses(with_them)
    assert with_them.step == 20
    assert same(without.model.state_dict(), with_them.model.state_dict())


def test_validation_is_told_batch_by_batch(config: Any, splits: Splits) -> None:
    many = Split(images=splits.valid.images.repeat(60, 1, 1, 1), labels=splits.valid.labels.repeat(60))
    wide = Splits(spec=splits.spec, train=splits.train, valid=many, load_test=splits.load_test)
    events = list(train(config(epochs=1), wide, device=torch.device("cpu")))
    assert [(e.done, e.total) for e in events if isinstance(e, Validating)] == [(500, 1200), (1000, 1200), (1200, 1200)]


def test_the_test_split_is_never_read(config: Any, splits: Splits) -> None:
    def refuse() -> Split:
        raise AssertionError("the test split belongs to the end of a run")

    list(train(config(epochs=1), Splits(spec=splits.spec, train=splits.train, valid=splits.valid, load_test=refuse)))


def test_best_is_the_first_of_the_highest(start: Start) -> None:
    training = start(epochs=8, learning_rate=0.01)
    epochs = [event for event in training.events() if isinstance(event, EpochDone)]
    best = -1.0
    for event in epochs:
        assert event.best == (event.valid_accuracy > best)
        best = max(best, event.valid_accuracy)
    assert {event.best for event in epochs} == {True, False}, "otherwise this test shows nothing"
    assert [row["valid_accuracy"] for row in training.history] == [event.valid_accuracy for event in epochs]


# -- ends --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping_counts_epochs_without_a_better_one(start: Start, patience: int) -> None:
    training = start(epochs=60, patience=patience, learning_rate=1e-8, schedule="constant")
    epochs = [event for event in training.events() if isinstance(event, EpochDone)]
    last_best = max(event.epoch for event in epochs if event.best)
    assert len(epochs) == last_best + patience < 60
    assert training.finished


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(start: Start) -> None:
    training = start(epochs=2)
    broken: list[bool] = []

    def break_it(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        return output * math.nan if broken else None

    training.model.head.register_forward_hook(break_it)  # type: ignore[union-attr]
    events = training.events()
    event = next(events)
    while not (isinstance(event, StepDone) and event.step == 2):
        event = next(events)
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    broken.append(True)
    with pytest.raises(UserError) as caught:
        next(events)
    assert caught.value.code == "loss_not_finite"
    assert caught.value.values["step"] == 3
    assert math.isnan(float(str(caught.value.values["value"])))
    assert training.step == 2
    assert same(before, dict(training.model.named_parameters()))


def test_a_learning_rate_far_too_high_is_answered_with_a_remedy(start: Start) -> None:
    with pytest.raises(UserError, match=r"The loss became (nan|inf) at step \d+ .*lower the learning rate"):
        list(start(epochs=20, learning_rate=1000, optimizer="sgd", norm="none", schedule="constant").events())


def test_stopping_is_not_asking_for_the_next_event(start: Start) -> None:
    training = start()
    for event in training.events():
        if isinstance(event, StepDone) and event.step == 2:
            break
    assert training.step == 2
    assert not training.finished


def test_start_weights_are_where_it_starts(splits: Splits, config: Any) -> None:
    cfg = config(epochs=1, seed=1)
    weights = build_model(cfg.model, splits.spec, seed=99).state_dict()
    training = Training(cfg, splits, device=torch.device("cpu"), start_weights=weights)
    assert same(training.weights(), weights)


# -- parts -------------------------------------------------------------------------------------------------------------------------------


def test_the_average_is_what_is_judged_and_kept(start: Start, splits: Splits) -> None:
    """ema = decay * ema + (1 - decay) * weights after every step, the first step's weights being its start."""
    training = start(epochs=2, ema_decay=0.8)
    average: dict[str, Tensor] = {}
    judged = None
    for event in training.events():
        if isinstance(event, StepDone):
            weights = {n: t.double() for n, t in training.model.state_dict().items()}
            average = {n: 0.8 * average[n] + 0.2 * t for n, t in weights.items()} if average else weights
        if isinstance(event, EpochDone):
            judged = event
    kept = training.weights()
    assert list(kept) == list(training.model.state_dict())
    for name, tensor in kept.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor.double(), average[name], rtol=1e-4, atol=1e-6), name
    assert not same(kept, training.model.state_dict())
    model = build_model(training.config.model, splits.spec)
    model.load_state_dict(kept)
    assert judged is not None
    assert evaluate(model, splits.valid, splits.spec).loss == judged.valid_loss


@pytest.mark.parametrize("keep", [True, False])
def test_while_frozen_only_the_head_moves(start: Start, keep: bool) -> None:
    training = start(epochs=2, freeze_epochs=1, freeze_statistics=keep)
    before = {name: t.clone() for name, t in training.model.state_dict().items()}
    for event in training.events():
        if isinstance(event, StepDone) and event.epoch == 1:
            assert [part for part, norm in event.stage_gradient_norms.items() if norm > 0] == ["head"]
        if isinstance(event, EpochDone) and event.epoch == 1:
            moved = {name for name, t in training.model.state_dict().items() if not torch.equal(t, before[name])}
            statistics = {name for name, _ in training.model.named_buffers()}
            assert moved == {"head.fc.weight", "head.fc.bias"} | (set() if keep else statistics)
            assert event.trainable == 4 * 33
    after = training.model.state_dict()
    assert not any(torch.equal(after[name], t) for name, t in before.items()), "and then everything does"


def test_mixup_and_augmentation_reach_training_images_only(start: Start, splits: Splits) -> None:
    training = start(epochs=1, mixup=1.0, erase_p=1.0)
    evaluated: list[Tensor] = []
    training.model.register_forward_pre_hook(lambda m, i: None if m.training else evaluated.append(i[0].clone()))
    trained = list(batches(training))
    clean = normalize(splits.train.images[epoch_order(50, 0, 1)], splits.spec).split(16)
    assert all(not torch.equal(a, b) for a, b in zip(trained, clean, strict=True))
    assert torch.equal(evaluated[-1], normalize(splits.valid.images, splits.spec))


def test_colour_images_and_fine_spec(config: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    spec = DataSpec(name="c", channels=3, height=8, width=9, classes=("a", "b"), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    split = Split(images=torch.randint(0, 256, (20, 3, 8, 9), dtype=torch.uint8, generator=generator), labels=torch.arange(20) % 2)
    events = list(train(config(epochs=1, cutout=3, jitter=0.1), Splits(spec=spec, train=split, valid=split, load_test=lambda: split)))
    assert isinstance(events[-1], EpochDone)


def test_an_answer_to_a_mixed_image_is_right_for_the_share_of_its_class(start: Start) -> None:
    """Zhang et al. 2018; here a network that always names the second of the two images."""
    training = start(epochs=1, mixup=1.0)
    expected, batch, bias = 0.0, training._batch, training.model.head.fc.bias  # type: ignore[union-attr]
    second: list[Tensor] = []

    def seen(indices: Tensor, pixels: Tensor) -> Any:
        nonlocal expected
        images, targets = batch(indices, pixels)
        labels, other, weight = targets.labels, targets.partners, targets.weight
        assert other is not None
        assert weight is not None
        second[:] = [other]
        expected += float((1 - weight) * len(labels) + weight * (labels == other).sum())
        return images, targets

    training._batch = seen  # type: ignore[method-assign]
    training.network = lambda images: nn.functional.one_hot(second[0], 4).float() * 9 + 0 * bias  # type: ignore[assignment, operator]
    done = [event for event in training.events() if isinstance(event, EpochDone)]
    assert done[0].train_accuracy == pytest.approx(expected / len(training.train_split))


def test_blocks_are_recorded_on_images_of_every_class(config: Any) -> None:
    """Also where a split is sorted by class, as folders are."""
    mixed = random_split(400, 5)
    many = mixed.take(mixed.labels.argsort(stable=True))
    training = Training(config(), Splits(spec=SPEC, train=many, valid=many, load_test=lambda: many), device=torch.device("cpu"))
    labels = {bytes(image.flatten().tolist()): int(label) for image, label in zip(many.images, many.labels, strict=True)}
    probed = [labels[bytes(image.flatten().tolist())] for image in training._probed()]
    assert len(probed) == PROBE_IMAGES
    shares = torch.tensor(probed).bincount() / len(probed)
    assert torch.allclose(shares, many.labels.bincount() / len(many), atol=0.03)
