"""A network whose BatchNorms, adds and ReLUs that follow each other are one operation each."""

import operator
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from resnet_core.training.fusion.kernel import norm_add_relu, norm_relu

RELUS, ADDS = (torch.relu, functional.relu), (operator.add, torch.add)


class NormReLU(nn.Module):
    """A BatchNorm and what followed it; the norm stays the network's own."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.norm, x)


class NormAddReLU(NormReLU):
    def forward(self, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return norm_add_relu(self.norm, x, other)


def fused(network: nn.Module) -> nn.Module:
    """It with its parameters, buffers and modules shared, for training; itself where its way cannot be followed or nothing fits."""
    graph = _followed(network)
    chains = [] if graph is None else list(_chains(graph, dict(network.named_modules())))
    if graph is None or not chains:
        return network
    made = fx.GraphModule(network, graph)
    modules = dict(network.named_modules())
    for number, (relu, norm, add) in enumerate(chains):
        kind = NormReLU if add is None else NormAddReLU
        name = f"fused{number}"
        made.add_submodule(name, kind(cast(nn.BatchNorm2d, modules[cast(str, norm.target)])))
        _exchange(graph, relu, norm, add, name)
    graph.lint()
    made.recompile()
    made.delete_all_unused_submodules()
    return made


def fusable(network: nn.Module) -> int:
    """How many BatchNorms are followed by a ReLU, an add between them or not."""
    graph = _followed(network)
    return 0 if graph is None else sum(1 for _ in _chains(graph, dict(network.named_modules())))


def _followed(network: nn.Module) -> fx.Graph | None:
    try:
        graph = fx.Tracer().trace(network)
    except Exception:  # noqa: BLE001 - a network may do anything in Python, and what stops the tracer is told in as many ways
        return None
    modules = dict(network.named_modules())
    for node in list(graph.nodes):
        if node.op == "call_module" and type(modules[node.target]) is nn.Identity:
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
        elif isinstance(before, fx.Node) and len(before.users) == 1 and _is_add(before):
            norm = next((term for term in before.args if _is_norm(term, modules)), None)
            if norm is not None:
                yield node, cast(fx.Node, norm), before


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(modules[cast(str, node.target)]) is nn.ReLU
    return node.op == "call_function" and node.target in RELUS and len(node.args) == 1 and not node.kwargs.get("inplace")


def _is_add(node: fx.Node) -> bool:
    return (
        node.op == "call_function"
        and node.target in ADDS
        and not node.kwargs
        and len(node.args) == 2
        and all(isinstance(term, fx.Node) for term in node.args)
    )


def _is_norm(node: object, modules: dict[str, nn.Module]) -> bool:
    """A BatchNorm as the kernel knows it, with one user."""
    if not isinstance(node, fx.Node) or node.op != "call_module" or len(node.users) != 1:
        return False
    norm = modules[cast(str, node.target)]
    return type(norm) is nn.BatchNorm2d and norm.affine and norm.track_running_stats and norm.momentum is not None


def _exchange(graph: fx.Graph, relu: fx.Node, norm: fx.Node, add: fx.Node | None, name: str) -> None:
    with graph.inserting_before(relu):
        if add is None:
            relu.replace_all_uses_with(graph.call_module(name, norm.args))
        else:
            other = next(term for term in add.args if term is not norm)
            both = graph.call_module(name, (norm.args[0], other))
            first, second = (graph.call_function(operator.getitem, (both, place)) for place in (0, 1))
            users = list(relu.users)
            if len(users) > 1:
                users[-1].replace_input_with(relu, second)
            relu.replace_all_uses_with(first)
    for node in (relu, add, norm):
        if node is not None:
            graph.erase_node(node)
    graph.eliminate_dead_code()
