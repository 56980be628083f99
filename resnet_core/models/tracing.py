"""A network followed through one forward pass on shapes alone: what ran, what it took in, and how much of the image it sees.

Works for any `nn.Module`: torch's dispatcher tells every operation, so functional calls and in-place adds are seen as well as modules.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from resnet_core.models.operations import KINDS, MOVES, macs, run_on_shapes, tensors, window
from resnet_core.models.receptive_field import Reach, reach_after

INPUT = "input"
MARK = "@"  # between the path of a module that holds others and an operation of its own: `layer1.0@add`


@dataclass(frozen=True, kw_only=True)
class Step:
    """One layer, or one operation that a module does itself. Shapes without the batch; MACs for one image.

    `name` is the module's path, with `#2` where it runs a second time; `inputs` are the names of the steps it takes (`input` is the
    image); `module` is the path of the module it ran in. `kernel` and `stride` are empty for what has no window.
    """

    name: str
    kind: str
    module: str
    inputs: tuple[str, ...]
    output_shape: tuple[int, ...]
    parameters: int = 0
    macs: int = 0
    receptive_field: int | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1


def trace(model: nn.Module, input_shape: Sequence[int]) -> tuple[Step, ...]:
    """The steps in the order of the forward pass. `model` lies on `meta` and is left as it was found, in eval mode during the pass."""
    recorder = _Recorder(model, max(input_shape[1:], default=1))
    training = {module: module.training for module in model.modules()}
    image = torch.empty(1, *input_shape, device="meta")
    recorder.bind(image, _Value(steps=(INPUT,), reach=Reach()))
    try:
        model.eval()
        with torch.no_grad(), recorder.following(), recorder:
            model(image)
    finally:
        for module, mode in training.items():
            module.training = mode
    return recorder.steps()


# -- one pass ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Value:
    """What is known of a tensor: the operations it came from, what it sees, and the parameters it is a view of."""

    steps: tuple[Any, ...] = ()  # numbers of operations, or INPUT
    reach: Reach | None = None
    parameters: tuple[int, ...] = ()


@dataclass(kw_only=True)
class _Operation:
    number: int
    name: str
    module: str
    call: int
    sources: tuple[Any, ...]
    shape: tuple[int, ...]
    parameters: tuple[int, ...]
    macs: int
    reach: Reach
    moves: bool  # only moves or renames values
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int = 1


class _Recorder(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else torch wraps the method below into something that imports its compiler."""
        return False

    def __init__(self, model: nn.Module, side: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model, self.side = model, side
        self.sizes = {id(p): p.numel() for p in model.parameters()}
        self.kept: list[Tensor] = list(model.parameters())  # while a tensor lives its id is its own
        self.values = {id(p): _Value(parameters=(id(p),)) for p in model.parameters()}
        self.operations: list[_Operation] = []
        self.calls: dict[str, int] = {}
        self.stack: list[tuple[str, int]] = [("", 1)]

    @contextmanager
    def following(self) -> Iterator[None]:
        """While this lasts, `stack` knows which module runs."""
        handles = []
        for name, module in self.model.named_modules():
            if name:
                handles.append(module.register_forward_pre_hook(self._entering(name)))
                handles.append(module.register_forward_hook(self._leaving))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _entering(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            self.calls[name] = self.calls.get(name, 0) + 1
            self.stack.append((name, self.calls[name]))

        return hook

    def _leaving(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.stack.pop()

    def bind(self, tensor: Tensor, value: _Value) -> None:
        self.kept.append(tensor)
        self.values[id(tensor)] = value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        found = [self.values[id(t)] for t in tensors((args, kwargs)) if id(t) in self.values]
        result = run_on_shapes(name.rstrip("_") if name[-1] == "_" and name[0] != "_" else name, name, func, args, kwargs or {})
        if found:
            self._note(name, func, args, found, result)
        return result

    def _note(self, name: str, func: Any, args: Any, found: list[_Value], result: Any) -> None:
        parameters = tuple(dict.fromkeys(number for value in found for number in value.parameters))
        sources = tuple(dict.fromkeys(step for value in found for step in value.steps))
        outputs = [t for t in tensors(result) if t.numel()]
        if not outputs:
            return
        if not sources:  # a view of a parameter
            for tensor in outputs:
                self.bind(tensor, _Value(parameters=parameters))
            return
        plain = name.rstrip("_")
        module, call = self.stack[-1]
        kernel, stride, groups = window(name, args)
        operation = _Operation(
            number=len(self.operations),
            name=plain if name[0] != "_" else name,
            module=module,
            call=call,
            sources=sources,
            shape=tuple(outputs[0].shape),
            parameters=parameters,
            macs=macs(name, func, args, outputs[0]),
            reach=reach_after(name, args, [v.reach for v in found if v.reach is not None], outputs[0], self.side),
            moves=plain in MOVES or name in MOVES,
            kernel=kernel,
            stride=stride,
            groups=groups,
        )
        self.operations.append(operation)
        for tensor in outputs:
            self.bind(tensor, _Value(steps=(operation.number,), reach=operation.reach))

    def steps(self) -> tuple[Step, ...]:
        return _Steps(self.operations, self.sizes, dict(self.model.named_modules()), frozenset(self.calls)).found()


# -- operations into steps -----------------------------------------------------------------------------------------------------------


class _Steps:
    """A module without parts that run is one step, whatever it does inside; the others' own operations are a step each."""

    def __init__(self, operations: list[_Operation], sizes: dict[int, int], modules: dict[str, nn.Module], ran: frozenset[str]) -> None:
        self.operations, self.sizes, self.modules = operations, sizes, modules
        self.names: dict[Any, tuple[str, ...]] = {INPUT: (INPUT,)}  # operation -> steps that its result stands for
        self.counted: set[int] = set()  # parameters
        self.taken: dict[str, int] = {}  # how often a name was given
        self.holders = {""}  # modules that have parts which run
        for name in ran:
            while name := name.rpartition(".")[0]:
                self.holders.add(name)

    def found(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        group: list[_Operation] = []
        for operation in self.operations:
            if group and (operation.module, operation.call) != (group[0].module, group[0].call):
                steps += self._closed(group)
                group = []
            if operation.module in self.holders:
                steps += self._own(operation)
            else:
                group.append(operation)
        return tuple(steps + self._closed(group))

    def _own(self, operation: _Operation) -> list[Step]:
        """An operation that a module with parts does itself."""
        if operation.moves:
            self.names[operation.number] = self._inputs([operation])
            return []
        kind = KINDS.get(operation.name, operation.name)
        return [self._step(self._unique(f"{operation.module}{MARK}{kind}"), kind, [operation])]

    def _closed(self, group: list[_Operation]) -> list[Step]:
        if not group:
            return []
        module = group[0].module
        return [self._step(self._unique(module), type(self.modules[module]).__name__, group)]

    def _unique(self, name: str) -> str:
        self.taken[name] = self.taken.get(name, 0) + 1
        return name if self.taken[name] == 1 else f"{name}#{self.taken[name]}"

    def _step(self, name: str, kind: str, group: list[_Operation]) -> Step:
        inputs = self._inputs(group)
        used = {number for operation in group for number in operation.parameters} - self.counted
        self.counted |= used
        for operation in group:
            self.names[operation.number] = (name,)
        window = next((operation for operation in group if operation.kernel), group[-1])
        return Step(
            name=name,
            kind=kind,
            module=group[0].module,
            inputs=inputs,
            output_shape=group[-1].shape[1:],
            parameters=sum(self.sizes[number] for number in used),
            macs=sum(operation.macs for operation in group),
            receptive_field=group[-1].reach.pixels,
            kernel=window.kernel,
            stride=window.stride,
            groups=window.groups,
        )

    def _inputs(self, group: list[_Operation]) -> tuple[str, ...]:
        """Names of the steps outside the group that it takes from; of what only moved values, the steps before."""
        own = {operation.number for operation in group}
        return tuple(dict.fromkeys(name for o in group for source in o.sources if source not in own for name in self.names[source]))
