"""A network that calls the kernels where they know what it does."""

import operator
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_core.models.blocks import Add, ZeroPadding
from resnet_core.training.native.convolution import convolve, convolves
from resnet_core.training.native.library import is_channels_last, is_hooked
from resnet_core.training.native.norm_relu import norm_relu

RELUS, ADDS = (torch.relu, functional.relu), (operator.add, torch.add)
FUNCTIONS = {
    *RELUS, *ADDS, operator.getitem, operator.mul, operator.sub, torch.cat, torch.flatten, torch.mul,
    functional.adaptive_avg_pool2d, functional.avg_pool2d, functional.max_pool2d, functional.pad,
}  # fmt: skip
METHODS = {"view_as", "flatten", "mean", "reshape", "view", "contiguous", "add", "mul"}


class NormReLU(nn.Module):
    """A BatchNorm, the add after it where there is one, and the ReLU, for two users; the norm stays the network's own."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return norm_relu(self.norm, x, other)


class Padding(nn.Module):
    """The shortcut that needs no parameters, with a way back that stays in one memory order."""

    def __init__(self, layer: ZeroPadding) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return _Padding.apply(x, self.layer)  # type: ignore[no-any-return]


class _Padding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: ZeroPadding) -> Tensor:
        ctx.layer, ctx.shape, ctx.order = layer, x.shape, torch.channels_last if is_channels_last(x) else torch.contiguous_format
        return layer(x)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        of_x = torch.empty(ctx.shape, dtype=gradient.dtype, memory_format=ctx.order).zero_()
        before, stride = ctx.layer.padding[4], ctx.layer.stride
        of_x[:, :, ::stride, ::stride] = gradient[:, before : before + ctx.shape[1]]
        return of_x, None


class Convolution(nn.Module):
    """The layer stays the network's own."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self.layer, x)


def with_kernels(network: nn.Module) -> nn.Module:
    """It with all its parameters and buffers shared, for training; itself where its way cannot be followed or the kernels know nothing of it."""
    graph, modules = _followed(network), dict(network.named_modules())
    chains = [] if graph is None else list(_chains(graph, modules))
    if graph is None or not chains:
        return network
    made = fx.GraphModule(network, graph)
    for number, (relu, norm, add) in enumerate(chains):
        layer = cast(nn.BatchNorm2d, modules[cast(str, norm.target)])
        name = f"native_norm{number}"
        made.add_submodule(name, NormReLU(layer))
        _join(graph, relu, norm, add, name)
    for number, node in enumerate(graph.nodes):
        module = modules.get(node.target) if node.op == "call_module" else None
        if module is not None and (convolves(module) or _calls(node, ZeroPadding, modules)):
            name = f"native{number}"
            made.add_submodule(name, Padding(module) if isinstance(module, ZeroPadding) else Convolution(cast(nn.Conv2d, module)))
            node.target = name
    graph.lint()
    made.recompile()
    made.delete_all_unused_submodules()
    return made


def knows(network: nn.Module) -> bool:
    """Whether any BatchNorm is followed by a ReLU, an add between them or not."""
    return with_kernels(network) is not network


class _Tracer(fx.Tracer):
    """What has nothing inside stays a call, and so does every kind of BatchNorm: what it does, it decides anew each time."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = next(m.children(), None) is None or isinstance(m, _BatchNorm)
        return whole or super().is_leaf_module(m, module_qualified_name)


def _followed(network: nn.Module) -> fx.Graph | None:
    """Its way from input to output in training, identities left out; None where that is more than modules and what is known of tensors."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            graph = _Tracer().trace(network.train())
    except Exception:  # noqa: BLE001 - a network may do anything in Python, and what stops the tracer is told in as many ways
        return None
    finally:
        for module, mode in modes:
            module.training = mode
    if not all(_is_known(node) for node in graph.nodes):
        return None
    modules = dict(network.named_modules())
    for node in list(graph.nodes):
        if _calls(node, nn.Identity, modules):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    return graph


def _chains(graph: fx.Graph, modules: dict[str, nn.Module]) -> Iterator[tuple[fx.Node, fx.Node, fx.Node | None]]:
    """(ReLU, norm, the add between them or None), where nobody else looks at what is between them."""
    for node in graph.nodes:
        if not _is_relu(node, modules):
            continue
        before = node.args[0]
        if _is_norm(before, modules):
            yield node, cast(fx.Node, before), None
        elif isinstance(before, fx.Node) and len(before.users) == 1 and _is_add(before, modules):
            norm = next((term for term in before.args if _is_norm(term, modules)), None)
            if norm is not None:
                yield node, cast(fx.Node, norm), before


def _is_known(node: fx.Node) -> bool:
    """Whatever else a network may do, such as changing a tensor in place or drawing at random, could not be followed so."""
    if node.op == "call_function":
        return node.target in FUNCTIONS and not node.kwargs.get("inplace")
    if node.op == "call_method":
        return node.target in METHODS
    return node.op != "get_attr" or not str(node.target).startswith("_tensor_constant")


def _calls(node: fx.Node, kind: type[nn.Module], modules: dict[str, nn.Module]) -> bool:
    """Whether it is a call of such a module on one tensor, which nobody listens to."""
    if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return False
    module = modules[cast(str, node.target)]
    return type(module) is kind and not is_hooked(module)


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if _calls(node, nn.ReLU, modules):
        return not modules[cast(str, node.target)].inplace
    return node.op == "call_function" and node.target in RELUS and len(node.args) == 1 and not node.kwargs


def _is_add(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Of two tensors, and two different ones."""
    if node.op == "call_module":
        module = modules[cast(str, node.target)]
        is_add = type(module) is Add and not is_hooked(module)
    else:
        is_add = node.op == "call_function" and node.target in ADDS
    return (
        is_add
        and not node.kwargs
        and len(node.args) == 2
        and all(isinstance(term, fx.Node) for term in node.args)
        and node.args[0] is not node.args[1]
    )


def _is_norm(node: object, modules: dict[str, nn.Module]) -> bool:
    """A BatchNorm as the kernel knows it, with one user."""
    if not isinstance(node, fx.Node) or not _calls(node, nn.BatchNorm2d, modules) or len(node.users) != 1:
        return False
    norm = cast(nn.BatchNorm2d, modules[cast(str, node.target)])
    return norm.affine and norm.track_running_stats and norm.momentum is not None


def _join(graph: fx.Graph, relu: fx.Node, norm: fx.Node, add: fx.Node | None, name: str) -> None:
    """One call instead of two or three."""
    others = [] if add is None else [next(term for term in add.args if term is not norm)]
    with graph.inserting_before(relu):
        both = graph.call_module(name, (norm.args[0], *others))
        users = list(relu.users)
        if len(users) > 1:
            users[-1].replace_input_with(relu, graph.call_function(operator.getitem, (both, 1)))
        relu.replace_all_uses_with(graph.call_function(operator.getitem, (both, 0)))
    for node in (relu, add, norm):
        if node is not None:
            graph.erase_node(node)
