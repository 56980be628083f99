"""Transfer: start from other weights, train only the head first."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.models import head_name


def head_of(model: nn.Module) -> nn.Module:
    """The part that turns features into logits."""
    return model.get_submodule(head_name(model))


def freeze_all_but_head(model: nn.Module) -> None:
    model.requires_grad_(False)
    head_of(model).requires_grad_(True)


def unfreeze(model: nn.Module) -> None:
    model.requires_grad_(True)


def trainable_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def hold_frozen_statistics(model: nn.Module) -> None:
    """Put BatchNorms whose weights are frozen into eval mode, so that their running statistics stay (call after model.train())."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.affine and not module.weight.requires_grad:
            module.eval()
