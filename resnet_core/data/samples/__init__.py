"""Small parts of larger data sets that come with Residual Lens, so that shipped networks have images to look at."""

from resnet_core.data.samples.reading import CIFAR10_JPG, FASHION_MNIST, Sample, read_sample

__all__ = ["CIFAR10_JPG", "FASHION_MNIST", "Sample", "read_sample"]
