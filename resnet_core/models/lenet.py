"""LeNet-5 (LeCun et al. 1998, Gradient-based learning applied to document recognition, section II.B), as it is built today.

Six and sixteen 5x5 kernels, 2x2 averages, 120 and 84 units, all maps connected, tanh; a linear layer stands where the original has
radial basis functions. The first convolution pads images of 28 px to the 32 px that the paper's network sees.
"""

from collections import OrderedDict

from torch import nn


def lenet5(channels: int, classes: int, height: int, width: int) -> nn.Sequential:
    """61,706 parameters for 28 x 28 images of one channel and ten classes. Sides of at least 12 px."""
    sides = [(side // 2 - 4) // 2 for side in (height, width)]
    features = OrderedDict(
        conv1=nn.Conv2d(channels, 6, 5, padding=2),
        tanh1=nn.Tanh(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        tanh2=nn.Tanh(),
        pool2=nn.AvgPool2d(2),
    )
    classifier = OrderedDict(
        flatten=nn.Flatten(),
        fc1=nn.Linear(16 * sides[0] * sides[1], 120),
        tanh3=nn.Tanh(),
        fc2=nn.Linear(120, 84),
        tanh4=nn.Tanh(),
        fc3=nn.Linear(84, classes),
    )
    return nn.Sequential(OrderedDict(features=nn.Sequential(features), classifier=nn.Sequential(classifier)))
