"""MNIST and CIFAR: read by the real torchvision from tiny files, and fetched from a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from resnet_core.config import DataConfig
from resnet_core.data import torchvision_sets
from resnet_core.data.catalog import CIFAR10, DATASETS, fetch, get_dataset, load_split, load_splits
from resnet_core.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (20, 28, 28), np.uint8), "t10k": RNG.integers(0, 256, (10, 28, 28), np.uint8)}
LABELS = {"train": np.arange(20, dtype=np.uint8) % 10, "t10k": np.arange(10, dtype=np.uint8)}
COLOUR = RNG.integers(0, 256, (20, 3, 32, 32), np.uint8)


def idx(array: np.ndarray) -> bytes:
    return (0x800 + array.ndim).to_bytes(4, "big") + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def mnist_files() -> dict[str, bytes]:
    files = {}
    for part in IMAGES:
        files[f"{part}-images-idx3-ubyte"] = idx(IMAGES[part])
        files[f"{part}-labels-idx1-ubyte"] = idx(LABELS[part])
    return files


def cifar_files() -> dict[str, bytes]:
    """Five training batches of four images, one test batch."""
    flat = COLOUR.reshape(20, -1)
    files = {f"data_batch_{n + 1}": {"data": flat[4 * n : 4 * n + 4], "labels": [n, 1, 2, 3]} for n in range(5)}
    files["test_batch"] = {"data": flat[:4], "labels": [9, 8, 7, 6]}
    files["batches.meta"] = {"label_names": list(CIFAR10)}
    return {name: pickle.dumps(content) for name, content in files.items()}


def md5(raw: bytes) -> str:
    return hashlib.md5(raw).hexdigest()


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    write(tmp_path / "MNIST" / "raw", mnist_files())
    return tmp_path


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """torchvision's CIFAR10 with the checksums of the tiny files."""
    files = cifar_files()
    batches = [[name, md5(raw)] for name, raw in files.items() if name.startswith("data_batch")]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": md5(files["batches.meta"])})
    return files


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address on this machine under which it can be fetched."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def served_mnist(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the server offers as MNIST's archives; torchvision has its address, after one where nobody answers."""
    folder, address = served
    write(folder, {f"{name}.gz": gzip.compress(raw) for name, raw in mnist_files().items()})
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/", address])
    monkeypatch.setattr(datasets.MNIST, "resources", [(file.name, md5(file.read_bytes())) for file in sorted(folder.iterdir())])
    return folder


def code_of(caught: pytest.ExceptionInfo[UserError]) -> str:
    return caught.value.code


def test_mnist_as_it_lies_there(mnist: Path) -> None:
    spec, test = load_split(DataConfig(dataset="mnist"), "test", root=mnist)
    assert np.array_equal(test.images[:, 0].numpy(), IMAGES["t10k"])
    assert test.labels.tolist() == LABELS["t10k"].tolist()
    assert (test.images.dtype, test.labels.dtype) == (torch.uint8, torch.int64)
    assert spec.classes == tuple("0123456789")
    splits = load_splits(DataConfig(dataset="mnist", valid_fraction=0.5), root=mnist)
    assert np.array_equal(np.sort(np.concatenate([splits.train.labels, splits.valid.labels])), np.sort(LABELS["train"]))


def test_fashion_is_mnist_in_another_folder(mnist: Path) -> None:
    (mnist / "MNIST").rename(mnist / "FashionMNIST")
    spec, test = load_split(DataConfig(dataset="fashion-mnist"), "test", root=mnist)
    assert np.array_equal(test.images[:, 0].numpy(), IMAGES["t10k"])
    assert spec.classes == tuple(datasets.FashionMNIST.classes)


def test_cifar10_from_its_pickles(tmp_path: Path, small_cifar: dict[str, bytes]) -> None:
    write(tmp_path / "cifar-10-batches-py", small_cifar)
    entry = get_dataset("cifar10")
    train, test = entry.read(tmp_path, "train"), entry.read(tmp_path, "test")
    assert np.array_equal(train.images.numpy(), COLOUR)
    assert train.images.is_contiguous()
    assert train.labels.tolist() == [label for n in range(5) for label in (n, 1, 2, 3)]
    assert test.labels.tolist() == [9, 8, 7, 6]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "labels of another length", "label 10", "wrong size"])
def test_damaged_mnist_files(damage: str, mnist: Path) -> None:
    folder = mnist / "MNIST" / "raw"
    images, labels = folder / "t10k-images-idx3-ubyte", folder / "t10k-labels-idx1-ubyte"
    if damage == "truncated":
        images.write_bytes(images.read_bytes()[:2000])
    elif damage == "empty":
        images.write_bytes(b"")
    elif damage == "text":
        images.write_text("no idx file at all")
    elif damage == "labels of another length":
        labels.write_bytes(idx(LABELS["train"]))
    elif damage == "label 10":
        labels.write_bytes(idx(np.full(10, 10, np.uint8)))
    else:
        images.write_bytes(idx(np.zeros((10, 20, 20), np.uint8)))
    with pytest.raises(UserError) as caught:
        load_split(DataConfig(dataset="mnist"), "test", root=mnist)
    assert code_of(caught) == "data_damaged"
    assert caught.value.values["path"] == mnist


def test_damaged_cifar_files(tmp_path: Path, small_cifar: dict[str, bytes]) -> None:
    write(tmp_path / "cifar-10-batches-py", {**small_cifar, "test_batch": small_cifar["test_batch"][:-10]})
    with pytest.raises(UserError) as caught:
        load_split(DataConfig(dataset="cifar10"), "test", root=tmp_path)
    assert code_of(caught) == "data_damaged"


def test_fetching_mnist_with_progress_from_the_mirror_that_answers(tmp_path: Path, served_mnist: Path) -> None:
    told: list[tuple[int, int | None]] = []
    root = tmp_path / "data"
    fetch("mnist", root=root, progress=lambda done, total: told.append((done, total)))
    total = sum(file.stat().st_size for file in served_mnist.iterdir())
    assert told[-1][0] == total
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {whole for _, whole in told} == {DATASETS["mnist"].download_bytes}
    assert get_dataset("mnist").is_present(root)
    assert np.array_equal(get_dataset("mnist").read(root, "train").images[:, 0].numpy(), IMAGES["train"])
    assert not list(root.rglob("*.part"))
    shutil.rmtree(served_mnist)
    fetch("mnist", root=root)  # it is there: nobody is asked


def test_fetching_cifar_from_one_archive(
    tmp_path: Path, served: tuple[Path, str], small_cifar: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, raw in small_cifar.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    monkeypatch.setattr(datasets.CIFAR10, "url", address + archive.name)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    told: list[int] = []
    fetch("cifar10", root=tmp_path / "data", progress=lambda done, total: told.append(done))
    assert told[-1] == archive.stat().st_size
    assert np.array_equal(get_dataset("cifar10").read(tmp_path / "data", "train").images.numpy(), COLOUR)


def test_what_was_fetched_before_is_not_fetched_again(tmp_path: Path, served_mnist: Path) -> None:
    root = tmp_path / "data"
    (root / "MNIST" / "raw").mkdir(parents=True)
    first, *rest = sorted(served_mnist.iterdir())
    first.rename(root / "MNIST" / "raw" / first.name)
    told: list[int] = []
    fetch("mnist", root=root, progress=lambda done, total: told.append(done))
    assert told[-1] == sum(file.stat().st_size for file in (*rest, root / "MNIST" / "raw" / first.name))
    assert get_dataset("mnist").is_present(root)


@pytest.mark.parametrize("trouble", ["missing", "truncated", "changed", "nobody answers"])
def test_a_download_that_fails(trouble: str, tmp_path: Path, served_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, mirrors = served_mnist / "train-images-idx3-ubyte.gz", datasets.MNIST.mirrors
    raw = archive.read_bytes()
    if trouble == "missing":
        archive.unlink()
    elif trouble == "truncated":
        archive.write_bytes(raw[:1000])
    elif trouble == "changed":
        archive.write_bytes(raw[:-1] + b"x")
    else:
        monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    root = tmp_path / "data"
    with pytest.raises(UserError) as caught:
        fetch("mnist", root=root)
    assert code_of(caught) == "data_download_failed"
    expected = {"missing": "not found", "truncated": "incomplete", "changed": "incomplete", "nobody answers": "refused"}[trouble]
    assert expected in str(caught.value)
    assert not list(root.rglob("*.part"))
    assert not get_dataset("mnist").is_present(root)
    archive.write_bytes(raw)  # the network is well again
    monkeypatch.setattr(datasets.MNIST, "mirrors", mirrors)
    fetch("mnist", root=root)
    assert get_dataset("mnist").is_present(root)


class Breaking(Quiet):
    """Promises more bytes than it sends, as a connection that is cut."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"x" * 500)


def test_a_connection_that_is_cut(tmp_path: Path, served_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        with pytest.raises(UserError) as caught:
            fetch("mnist", root=tmp_path / "data")
        server.shutdown()
        thread.join()
    assert code_of(caught) == "data_download_failed"


def test_a_full_disk_while_fetching(tmp_path: Path, served_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(url: str, target: Path, report: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torchvision_sets, "_download", full)
    with pytest.raises(UserError) as caught:
        fetch("mnist", root=tmp_path / "data")
    assert code_of(caught) == "disk_full"


def test_a_root_that_cannot_be_written(tmp_path: Path, served_mnist: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError) as caught:
        fetch("mnist", root=tmp_path / "data")
    assert code_of(caught) == "not_writable"
