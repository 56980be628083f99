"""Images by name: splits, normalisation, batched augmentation, and drawings prepared as the networks know them."""

from resnet_core.data.augment import augment, mixup
from resnet_core.data.augment_warnings import AUGMENT_WARNINGS, augment_warnings
from resnet_core.data.catalog import (
    DATASETS,
    DatasetEntry,
    DatasetStatus,
    data_root,
    dataset_status,
    fetch,
    get_dataset,
    load_spec,
    load_split,
    load_splits,
)
from resnet_core.data.spec import DataSpec, Split, Splits, denormalize, normalize

__all__ = [
    "AUGMENT_WARNINGS",
    "DATASETS",
    "DataSpec",
    "DatasetEntry",
    "DatasetStatus",
    "Split",
    "Splits",
    "augment",
    "augment_warnings",
    "data_root",
    "dataset_status",
    "denormalize",
    "fetch",
    "get_dataset",
    "load_spec",
    "load_split",
    "load_splits",
    "mixup",
    "normalize",
]
