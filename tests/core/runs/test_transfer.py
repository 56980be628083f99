"""Starting from other weights against a loop by hand; the plan, made from shapes alone, against what is then done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.config import RunConfig
from resnet_core.data import load_splits
from resnet_core.data.spec import DataSpec, Splits
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.models.pretrained import pretrained_names
from resnet_core.runs import Store, find_checkpoint, load_weights, save_checkpoint
from resnet_core.runs.transfer import Transfer, plan_start, start_weights
from resnet_core.runs.worker import execute
from resnet_core.training import EpochDone, RunStarted, StepDone, Training, epoch_order

Small = Callable[..., RunConfig]
COLOUR = DataSpec(name="colour", channels=3, height=16, width=16, classes=tuple("abcdef"), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A resnet8 for gray digits."""
    config = RunConfig.from_flat({"model": "resnet8"})
    spec = load_splits(config.data).spec
    save_checkpoint(
        tmp_path / "source.safetensors", build_model(config.model, spec, seed=3).state_dict(), config, spec, {"epoch": 1, "step": 9}
    )
    return tmp_path / "source.safetensors"


@pytest.mark.parametrize(("model", "fitted", "fresh"), [("resnet8", 1, 2), ("plain8", 1, 2)])
def test_other_channels_and_classes(source: Path, model: str, fitted: int, fresh: int) -> None:
    config = RunConfig.from_flat({"model": model, "start_from": str(source), "seed": 5})
    plan, found = plan_start(config, COLOUR), start_weights(config, COLOUR)
    assert plan is not None
    assert found is not None
    assert plan == Transfer.of(found)
    assert (plan.fitted, plan.fresh) == (("stem.conv.weight",), ("head.fc.weight", "head.fc.bias"))
    old, own = load_weights(find_checkpoint(str(source))), build_model(config.model, COLOUR, seed=5).state_dict()
    assert set(found.weights) == set(own)
    for name in plan.kept:
        assert torch.equal(found.weights[name], old[name]), name
    for name in plan.fresh:
        assert torch.equal(found.weights[name], own[name]), "drawn as it would have been without a start"
    assert torch.allclose(found.weights["stem.conv.weight"].sum(1), old["stem.conv.weight"].sum(1)), "a gray image gets the same answer"


@pytest.mark.parametrize("changes", [{"model": "resnet14"}, {"option": "C"}, {"width": 2.0}, {"version": "v2"}], ids=str)
def test_another_network_is_refused_before_anything_starts(source: Path, changes: dict[str, Any]) -> None:
    config = RunConfig.from_flat({"model": "resnet8", "start_from": str(source), **changes})
    with pytest.raises(UserError) as planned:
        plan_start(config, COLOUR)
    with pytest.raises(UserError) as done:
        start_weights(config, COLOUR)
    assert (planned.value.code, planned.value.field) == ("weights_do_not_fit", "start_from")
    assert done.value.code == "weights_do_not_fit"


def test_pretrained_is_planned_without_its_weights() -> None:
    config = RunConfig.from_flat({"model": "resnet18", "start_from": "pretrained"})
    plan = plan_start(config, COLOUR)
    assert plan is not None
    assert plan.fresh == ("stem.conv.weight", "head.fc.weight", "head.fc.bias"), "3x3 instead of 7x7"
    imagenet = RunConfig.from_flat({"stem": "imagenet"}, config)
    plan = plan_start(imagenet, COLOUR)
    assert plan is not None
    assert plan.fresh == ("head.fc.weight", "head.fc.bias")
    for changes, code in (({"model": "resnet20"}, "pretrained_unavailable"), ({"option": "A"}, "weights_do_not_fit")):
        with pytest.raises(UserError) as caught:
            plan_start(RunConfig.from_flat(changes, config), COLOUR)
        assert (caught.value.code, caught.value.field) == (code, "start_from")
    assert "resnet18" in pretrained_names()


def reference(config: RunConfig, splits: Splits, weights: dict[str, Tensor], *, keep_statistics: bool) -> list[float]:
    """By hand: an epoch of SGD on the head alone, then one on everything with another rate. Losses of all steps."""
    model = build_model(config.model, splits.spec, seed=0)
    model.load_state_dict(weights)
    losses, order_of = [], lambda epoch: epoch_order(len(splits.train), config.train.seed, epoch)
    for epoch, rate, parameters in ((1, 0.05, list(model.head.parameters())), (2, 0.01, list(model.parameters()))):
        updates = torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
        model.train()
        if epoch == 1 and keep_statistics:
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        for indices in order_of(epoch).split(config.train.batch_size):
            if len(indices) < 2:
                continue
            images = (splits.train.images[indices].float() / 255 - splits.spec.mean[0]) / splits.spec.std[0]
            loss = nn.functional.cross_entropy(model(images), splits.train.labels[indices])
            updates.zero_grad()
            loss.backward()
            updates.step()
            losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("keep_statistics", [True, False])
def test_frozen_then_free_is_a_loop_by_hand(source: Path, small: Small, keep_statistics: bool) -> None:
    changes = {
        "model": "resnet8",
        "width": 1.0,
        "start_from": str(source),
        "epochs": 2,
        "freeze_epochs": 1,
        "learning_rate": 0.05,
        "train_limit": 80,
    }
    config = small(**changes, unfreeze_learning_rate=0.01, freeze_statistics=keep_statistics, schedule="constant")
    splits = load_splits(config.data)
    found = start_weights(config, splits.spec)
    assert found is not None
    training = Training(config, splits, device=torch.device("cpu"), start_weights=found.weights)
    events = list(training.events())
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    assert losses == pytest.approx(reference(config, splits, found.weights, keep_statistics=keep_statistics), rel=1e-4)
    head = sum(p.numel() for p in training.model.head.parameters())
    whole = sum(p.numel() for p in training.model.parameters())
    assert [event.trainable for event in events if isinstance(event, RunStarted | EpochDone)] == [head, head, whole]


def test_a_run_notes_what_was_kept(store: Store, small: Small, source: Path) -> None:
    from resnet_core.runs import read_notices

    run = store.create(small(model="resnet8", width=1.0, start_from=str(source), epochs=1, seed=9), "cpu").run
    assert store.claim("cpu", run) == run
    assert execute(store, run).status == "finished"
    first = find_checkpoint(f"{run}@first", store=store)
    assert first.weights_sha256 == find_checkpoint(str(source)).weights_sha256
    (notice,) = read_notices(store, run)
    total = len([name for name in load_weights(first) if not name.endswith("num_batches_tracked")])
    assert (notice.code, notice.values) == ("started_from_all", {"name": str(source), "kept": total, "total": total})
