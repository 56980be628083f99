"""The loop that courses and study notes on ResNet train MNIST with, written out: what our trainer is measured against.

torchvision's data set, ToTensor and Normalize for each image, a DataLoader without workers, float32, `loss.item()` in every step. The
network is ours, so that only the way of training differs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import data_root, get_dataset, open_source
from resnet_core.data.spec import DataSpec
from resnet_core.models import build_model

BATCH = 128
LEARNING_RATE, STEP_EPOCHS, GAMMA, EPOCHS = 1e-3, 5, 0.5, 15  # the notes' Adam and StepLR


@dataclass(frozen=True)
class _Pictures:
    """What torchvision's MNIST does for one image, on images of any of our data sets."""

    images: torch.Tensor
    labels: torch.Tensor
    transform: Callable[[Any], torch.Tensor]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from torchvision.transforms.functional import to_pil_image

        return self.transform(to_pil_image(self.images[index])), int(self.labels[index])


def notes_data(dataset: str, spec: DataSpec) -> "Dataset[Any]":
    """The training images; MNIST and Fashion-MNIST through torchvision's own class."""
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)])
    kinds = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}
    if dataset in kinds:
        get_dataset(dataset)
        return cast("Dataset[Any]", kinds[dataset](Path(data_root()), train=True, transform=transform))
    split = open_source(DataConfig(dataset=dataset), data_root()).read("train")
    return cast("Dataset[Any]", _Pictures(split.images, split.labels, transform))


class NotesLoop:
    """One network trained so; `steps` goes on for ever, epoch after epoch."""

    def __init__(self, model: str, dataset: str, spec: DataSpec, device: torch.device) -> None:
        self.device = device
        self.model = build_model(ModelConfig(model=model), spec, seed=0, device=device)
        self.loader: DataLoader[Any] = DataLoader(notes_data(dataset, spec), batch_size=BATCH, shuffle=True)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.schedule = StepLR(self.optimizer, step_size=STEP_EPOCHS, gamma=GAMMA)
        self.epochs = 0

    def steps(self) -> Iterator[int]:
        """The number of images of every step, after it."""
        criterion = nn.CrossEntropyLoss()
        while True:
            for images, labels in self.loader:
                self.model.train()
                images, labels = images.to(self.device), labels.to(self.device)
                self.optimizer.zero_grad()
                loss = criterion(self.model(images), labels)
                loss.backward()
                self.optimizer.step()
                self.running_loss = loss.item()
                yield len(labels)
            self.schedule.step()
            self.epochs += 1
