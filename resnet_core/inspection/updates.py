"""What one step of the optimizer would do to a layer: the size of its update beside the size of its weights.

The first step of SGD, Adam and AdamW written out (torch.optim's own arithmetic), so that nobody has to build an optimizer for it. A
thousandth of the weights per step is usual; far more and a layer loses what it learnt, far less and it stands still.
"""

from torch import Tensor

from resnet_core.config import TrainConfig

EPSILON = 1e-8  # torch.optim's, for Adam and AdamW
CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_'s


def first_update(train: TrainConfig, weight: Tensor, gradient: Tensor) -> Tensor:
    """What the first step subtracts from these weights at the training's highest learning rate."""
    decayed = gradient + train.weight_decay * weight
    match train.optimizer:
        case "adam":
            return train.learning_rate * decayed / (decayed.abs() + EPSILON)
        case "adamw":
            return train.learning_rate * (train.weight_decay * weight + gradient / (gradient.abs() + EPSILON))
        case _:
            ahead = 1 + train.momentum if train.nesterov and train.momentum > 0 else 1.0
            return train.learning_rate * ahead * decayed


def clip_factor(train: TrainConfig, total_norm: float) -> float:
    """By which all gradients are multiplied before the step, for their norm over the whole network."""
    return 1.0 if train.clip_norm is None else min(1.0, train.clip_norm / (total_norm + CLIP_EPSILON))
