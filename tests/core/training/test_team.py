"""Two real processes that train one network over gloo, against one process with the same batches."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from resnet_core.errors import UserError
from resnet_core.training.team import ALONE, Team, outside, synchronized_norms

pytestmark = pytest.mark.timeout(400)  # each step of a pair waits for both, on a machine that may be busy with others
ROOT = Path(__file__).parents[3]
MEMBER = Path(__file__).with_name("team_member.py")
EVERYTHING = {"rotation": 20, "elastic": 1, "thickness": 1, "crop_padding": 1, "flip": True, "jitter": 0.2, "erase_p": 0.5, "cutout": 3}
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"epochs": 9, "schedule": "cosine", "learning_rate": 0.05},
    "adam, unfrozen": {"epochs": 3, "optimizer": "adam", "learning_rate": 0.001, "freeze_epochs": 1, "ema_decay": 0.8, "clip_norm": 0.5},
    "augmented": {"epochs": 1, **EVERYTHING},
    "mixup": {"epochs": 1, "mixup": 0.4, **EVERYTHING},
    "own statistics": {"epochs": 2, "sync_batchnorm": False},
}


@pytest.fixture(scope="module")
def member() -> ModuleType:
    spec = importlib.util.spec_from_file_location("team_member", MEMBER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes measured."""
    folder = tmp_path_factory.mktemp("team")
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::UserWarning", str(MEMBER), str(folder), json.dumps(CASES)]
    started = [subprocess.Popen(command, cwd=ROOT, env={**os.environ, **place, "RANK": str(rank)}) for rank in (0, 1)]
    try:
        assert [process.wait(300) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.fixture
def one(member: ModuleType) -> Callable[[str], dict[str, Any]]:
    def alone(case: str) -> dict[str, Any]:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            found: dict[str, Any] = member.train(CASES[case], ALONE)
        finally:
            torch.set_num_threads(before)
        return found

    return alone


def furthest(a: list[list[float]], b: list[list[float]]) -> float:
    return max(abs(x - y) for u, v in zip(a, b, strict=True) for x, y in zip(u, v, strict=True))


def test_what_timm_puts_into_a_batchnorm_stays_in_it() -> None:
    """Its BatchNorms may drop and activate, too: without that a team would train another network than the one it is measured as."""
    layers = pytest.importorskip("timm.layers")
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), layers.BatchNormAct2d(4), torch.nn.Conv2d(4, 2, 3)).eval()
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([-1.0, 1.0, 0.5, -0.5]))
        before, names = net(x), list(net.state_dict())
        shared = synchronized_norms(net, torch.device("cpu"))
        assert torch.equal(shared(x), before)
    assert list(shared.state_dict()) == names


@pytest.mark.slow
def test_batchnorm_over_two_processes_is_batchnorm_over_the_whole_batch(both: list[dict[str, Any]], member: ModuleType) -> None:
    """11 images here, 12 there: output, all gradients, running statistics; bfloat16 as autocast would give it keeps its type."""
    whole = member.normalise(ALONE)
    halves = [found["norm"] for found in both]
    for name in ("y", "x"):
        assert [len(half[name]) for half in halves] == [11, 12]
        torch.testing.assert_close(torch.cat([half[name] for half in halves]), whole[name], rtol=1e-5, atol=2e-6)
    for half in halves:
        for name in ("weight", "bias", "mean", "variance", "tracked"):
            torch.testing.assert_close(half[name], whole[name], rtol=1e-5, atol=1e-5)
    short = torch.cat([found["short"]["y"] for found in both])
    assert short.dtype is torch.bfloat16
    torch.testing.assert_close(short.float(), whole["y"], rtol=2e-2, atol=5e-2)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case != "own statistics"])
def test_two_processes_train_as_one_does(both: list[dict[str, Any]], one: Callable[[str], dict[str, Any]], case: str) -> None:
    """Losses, gradient norms (those of the mean gradient), epochs: equal within 1e-4, over 54 steps for plain SGD."""
    alone, first, second = one(case), both[0]["cases"][case], both[1]["cases"][case]
    assert len(first["loss"]) == 6 * CASES[case]["epochs"]
    assert first["loss"] == pytest.approx(alone["loss"], abs=1e-4)
    assert first["loss"][0] - first["loss"][-1] > 0.5 or case != "sgd", "otherwise equal curves show nothing"
    assert furthest(first["norms"], alone["norms"]) < 1e-4
    assert furthest(first["epochs"], alone["epochs"]) < 1e-4
    for name, tensor in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], tensor, rtol=1e-2, atol=1e-3)
    for key in ("loss", "norms", "epochs", "kinds"):
        assert first[key] == second[key], "every process tells the same at the same time"
    for name, tensor in first["weights"].items():
        assert torch.equal(tensor, second["weights"][name])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sgd", "augmented", "mixup"])
def test_an_image_is_changed_alike_whoever_has_it(both: list[dict[str, Any]], one: Callable[[str], dict[str, Any]], case: str) -> None:
    """The batches of both, put together, are those of one process: the same images, order and random changes."""
    for whole, *parts in zip(one(case)["batches"], *(found["cases"][case]["batches"] for found in both), strict=True):
        assert [len(part) for part in parts] == ([13, 13] if len(whole) == 26 else [1, 2])
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_without_synchronised_batchnorm(both: list[dict[str, Any]], one: Callable[[str], dict[str, Any]]) -> None:
    """Each normalises its own half: another training, the same on both; a last batch of 3 is everybody's, since one image cannot be normalised."""
    first, second = (found["cases"]["own statistics"] for found in both)
    assert first["loss"] == second["loss"]
    assert [len(batch) for batch in first["batches"]] == [13] * 5 + [3] + [13] * 5 + [3]
    assert first["loss"] != pytest.approx(one("own statistics")["loss"], abs=1e-4)
    parameters = [name for name in first["weights"] if "running" not in name and "tracked" not in name]
    assert all(torch.equal(first["weights"][name], second["weights"][name]) for name in parameters)


@pytest.mark.slow
def test_words_come_from_the_leading_process(both: list[dict[str, Any]]) -> None:
    assert [found["told"] for found in both] == ["from 0", "from 0"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 13, 128])
def test_shares_are_the_whole_and_their_weights_add_up(size: int, count: int) -> None:
    teams = [Team(rank=rank, size=size) for rank in range(size)]
    shares = [team.share(count) for team in teams]
    assert [place for share in shares for place in range(count)[share]] == list(range(count))
    for least in (1, 2):
        parts = [team.part(count, least) for team in teams]
        assert sum(weight for _, weight in parts) == pytest.approx(1)
        assert all(part.stop - part.start >= min(least, count) for part, _ in parts)


def test_a_batch_too_small_to_share_is_refused(member: ModuleType) -> None:
    with pytest.raises(UserError, match=r"batch_size must be at least 32 \(2 for each of 16 processes\), got 26"):
        member.train({}, Team(rank=0, size=16))


def test_what_a_member_starts_is_no_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run of the queue would wait for the others of a team that has ended."""
    place = {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_RUN_ID": "none",
        "OMP_NUM_THREADS": "1",
    }
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = {"PATH": "/bin", "OMP_NUM_THREADS": "1"}
    assert outside(alone) == alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert outside({"PATH": "/bin", **place}) == {"PATH": "/bin"}
