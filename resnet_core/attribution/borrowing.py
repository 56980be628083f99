"""A copy of a network that nobody else looks at or changes."""

import copy
from collections import OrderedDict
from typing import Any

from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # torch has no public way to leave them out


def borrowed(model: nn.Module) -> nn.Module:
    """A copy in eval mode that shares weights and buffers, with modules of its own and nobody's hooks: what others record with theirs are
    their passes and not ours. What works in place no longer does, so that every activation can be asked for its gradient."""
    kept: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    kept |= {id(getattr(module, name)): OrderedDict() for module in model.modules() for name in HOOKS}
    own = copy.deepcopy(model, kept).eval()
    for module in own.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return own
