"""MNIST, Fashion-MNIST and CIFAR as torchvision reads them, and their download with progress.

torchvision downloads too, but reports only to a terminal: the archives are fetched here, checked against torchvision's own
checksums, and unpacked by torchvision.
"""

import http.client
import pickle
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from resnet_core.data.reading import Progress
from resnet_core.data.source import Part
from resnet_core.data.spec import DataSpec, Split
from resnet_core.errors import UserError
from resnet_core.writing import writing_to

UNREADABLE = (RuntimeError, ValueError, TypeError, AssertionError, KeyError, OSError, EOFError, pickle.UnpicklingError)
NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)
CHUNK = 1 << 18
TIMEOUT = 30  # seconds without a byte


def dataset_class(class_name: str) -> Any:
    from torchvision import datasets  # here, because importing torchvision takes a second and mnist-mini needs none of it

    return getattr(datasets, class_name)


def read_torchvision(class_name: str, spec: DataSpec, root: Path, part: Part) -> Split:
    """The official train or test part as uint8 (N, C, H, W); raises data_damaged when the files are there but cannot be read."""
    try:
        dataset = dataset_class(class_name)(root, train=part == "train")
        images, labels = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets, dtype=torch.int64)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
        expected = (len(labels), spec.channels, spec.height, spec.width)
        if images.shape != expected or not len(labels) or int(labels.max()) >= len(spec.classes):
            raise ValueError(f"images {tuple(images.shape)} for {len(labels)} labels")
    except UNREADABLE as error:
        raise UserError("data_damaged", name=spec.name, path=root, reason=_first_line(error)) from error
    return Split(images=images, labels=labels)


def download_torchvision(class_name: str, name: str, root: Path, total: int, progress: Progress | None) -> None:
    """Fetch and unpack what is missing; `total` is the size of all archives. Raises data_download_failed with the network's reason."""
    cls = dataset_class(class_name)
    done = 0
    with writing_to(root):
        for folder, urls, md5 in _archives(cls, root):
            done = _fetch_archive(name, urls, folder, md5, lambda so_far: progress and progress(so_far, max(total, so_far)), done)
        try:
            cls(root, download=True)  # finds the archives in place and unpacks them
        except RuntimeError as error:
            raise UserError("data_damaged", name=name, path=root, reason=_first_line(error)) from error


def _archives(cls: Any, root: Path) -> list[tuple[Path, list[str], str]]:
    """(folder, addresses to try in turn, md5) of every archive."""
    if hasattr(cls, "mirrors"):
        folder = root / cls.__name__ / "raw"
        return [(folder, [mirror + file for mirror in cls.mirrors], md5) for file, md5 in cls.resources]
    return [(root, [cls.url], cls.tgz_md5)]


def _fetch_archive(name: str, urls: list[str], folder: Path, md5: str, report: Callable[[int], object], done: int) -> int:
    """Bytes done including this archive, which afterwards is whole and in place."""
    from torchvision.datasets.utils import check_integrity

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / urls[0].rsplit("/", 1)[1]
    if check_integrity(target, md5):
        return done + target.stat().st_size
    part, reason = target.with_name(target.name + ".part"), ""
    try:
        for url in urls:
            try:
                size = _download(url, part, lambda size: report(done + size))
            except NETWORK as error:
                reason = f"{url}: {getattr(error, 'reason', error)}"
                continue
            if check_integrity(part, md5):
                part.replace(target)
                return done + size
            reason = f"{url}: the file arrived incomplete or changed"
    finally:
        part.unlink(missing_ok=True)
    raise UserError("data_download_failed", name=name, path=folder, reason=reason)


def _download(url: str, target: Path, report: Callable[[int], object]) -> int:
    size = 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response, target.open("wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            size += len(chunk)
            report(size)
    return size


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
