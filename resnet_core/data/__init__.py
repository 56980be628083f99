"""Images by name: splits, normalisation, batched augmentation, and drawings prepared as the networks know them."""

from resnet_core.data.augment import augment, mixup
from resnet_core.data.augment_warnings import AUGMENT_WARNINGS, augment_warnings
from resnet_core.data.catalog import (
    DATASETS,
    DatasetEntry,
    DatasetStatus,
    data_root,
    dataset_status,
    display_name,
    fetch,
    get_dataset,
    load_spec,
    load_split,
    load_splits,
    open_source,
    same_tests,
    splits_of,
    stand_in,
    training_images,
)
from resnet_core.data.places import PLACED, PlacedKind
from resnet_core.data.spec import DataSpec, Split, Splits, denormalize, normalize
from resnet_core.data.splits import some_images, spread

__all__ = [
    "AUGMENT_WARNINGS",
    "DATASETS",
    "PLACED",
    "DataSpec",
    "DatasetEntry",
    "DatasetStatus",
    "PlacedKind",
    "Split",
    "Splits",
    "augment",
    "augment_warnings",
    "data_root",
    "dataset_status",
    "denormalize",
    "display_name",
    "fetch",
    "get_dataset",
    "load_spec",
    "load_split",
    "load_splits",
    "mixup",
    "normalize",
    "open_source",
    "same_tests",
    "some_images",
    "spread",
    "splits_of",
    "stand_in",
    "training_images",
]
