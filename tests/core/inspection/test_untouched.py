"""Look, don't touch: weights, buffers, gradients, modes and hooks are as found, after success, after a wrong name, after an exception."""

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_core.data.spec import DataSpec, Split
from resnet_core.errors import UserError
from resnet_core.inspection import (
    all_outputs,
    block_maps,
    each_block,
    hooked,
    lesion_accuracies,
    lesioned,
    measure_gradients,
    recorded,
    residual_statistics,
    untouched,
)

SPEC = DataSpec(name="test", channels=1, height=12, width=12, classes=tuple("0123"), mean=(0.4,), std=(0.3,))


def split_of(images: Tensor) -> Split:
    return Split(images=(images * 40 + 128).clamp(0, 255).to(torch.uint8), labels=torch.arange(len(images)) % 4)


LOOKS: dict[str, Callable[[nn.Module, Tensor, Tensor], object]] = {
    "residual_statistics": lambda model, images, labels: residual_statistics(model, images),
    "block_maps": lambda model, images, labels: block_maps(model, images[:1], "stages.1.0"),
    "all_outputs": lambda model, images, labels: all_outputs(model, images[:1]),
    "gradients, eval": lambda model, images, labels: measure_gradients(model, images, labels),
    "gradients, train": lambda model, images, labels: measure_gradients(model, images, labels, training=True),
    "lesions": lambda model, images, labels: lesion_accuracies(model, split_of(images), SPEC, each_block(model)),
}
EVERY = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
NETWORKS = pytest.mark.parametrize("name", ["resnet8", "plain8"])


@EVERY
@NETWORKS
def test_a_look_leaves_the_model_as_found(build: Any, witness: Any, images: Tensor, labels: Tensor, look: Any, name: str) -> None:
    model = build(name)
    witness(model)
    look(model, images, labels)


@EVERY
@NETWORKS
def test_so_does_a_look_that_fails_in_the_middle(build: Any, witness: Any, images: Tensor, labels: Tensor, look: Any, name: str) -> None:
    model = build(name)
    broken = model.stages[2][0].residual.conv2
    broken.forward = lambda x: 1 / 0
    witness(model)
    with pytest.raises(ZeroDivisionError):
        look(model, images, labels)


@EVERY
def test_so_does_a_look_at_images_of_the_wrong_shape(build: Any, witness: Any, labels: Tensor, look: Any) -> None:
    model = build()
    witness(model)
    with pytest.raises(RuntimeError):
        look(model, torch.randn(6, 3, 12, 12), labels)


def test_so_does_asking_for_a_block_that_is_not_there(build: Any, witness: Any, images: Tensor) -> None:
    model = build()
    witness(model)
    with pytest.raises(UserError):
        block_maps(model, images[:1], "stages.0.9")
    with pytest.raises(UserError), lesioned(model, ["stages.0.0", "stages.0.9"]):
        pass
    with pytest.raises(UserError):
        lesion_accuracies(model, split_of(images), SPEC, [["stages.0.9"]])


def test_hooks_of_others_stay(build: Any, images: Tensor, labels: Tensor) -> None:
    model = build()
    calls: list[int] = []
    handle = model.stages[0][0].register_forward_hook(lambda *_: calls.append(1))
    for look in LOOKS.values():
        look(model, images, labels)
    before = len(calls)
    model(images)
    assert len(calls) == before + 1
    handle.remove()


def test_looking_changes_no_output_and_no_gradient_of_a_training_step(build: Any, images: Tensor, labels: Tensor) -> None:
    quiet, watched = build().train(), build().train()
    for look in LOOKS.values():
        look(watched, images, labels)
    losses = []
    for model in (quiet, watched):
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        losses.append(loss.detach())
    assert torch.equal(*losses)
    for (name, ours), theirs in zip(quiet.named_parameters(), watched.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad), name
    assert all(torch.equal(a, b) for a, b in zip(quiet.buffers(), watched.buffers(), strict=True))


def test_the_context_managers_close_after_an_exception(build: Any, witness: Any, images: Tensor) -> None:
    model = build()
    witness(model)
    with pytest.raises(ZeroDivisionError), untouched(model, training=True), recorded({"stem": model.stem}):
        model(images).sum().backward(1 / 0)
    with pytest.raises(AttributeError), hooked({"stem": model.stem, "none": None}, print):  # type: ignore[dict-item]
        pass


def test_train_mode_inside_sees_the_batch_and_gives_its_statistics_back(build: Any, images: Tensor) -> None:
    model = build()
    before = copy.deepcopy(dict(model.named_buffers()))
    with untouched(model, training=True):
        model(images)
        assert not torch.equal(model.stem.norm.running_mean, before["stem.norm.running_mean"]), "otherwise this test shows nothing"
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


@pytest.fixture
def one_core() -> Iterator[None]:
    """Sums in one order, in every thread that asks for it: what is compared to the bit must not depend on who shares the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_core")
def test_two_threads_with_copies_do_not_disturb_each_other(build: Any, images: Tensor, labels: Tensor) -> None:
    """As two browser sessions do: each looks at its own copy, again and again, and sees what it sees alone."""
    models = [build("resnet8", seed=1), build("resnet8", seed=2)]
    alone = [(residual_statistics(m, images), measure_gradients(m, images, labels)) for m in models]
    assert alone[0] != alone[1]
    shared = copy.deepcopy(models)
    different: list[int] = []
    start = threading.Barrier(2)

    def work(which: int) -> None:
        torch.set_num_threads(1)  # a setting of each thread
        mine = copy.deepcopy(shared[which])
        start.wait()
        for _ in range(10):
            if (residual_statistics(mine, images), measure_gradients(mine, images, labels)) != alone[which]:
                different.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not different
