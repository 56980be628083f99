"""A network followed through one forward pass on shapes alone: what ran, what it took in, and how much of the image it sees.

Works for any `nn.Module`: torch's dispatcher tells every operation, so functional calls and in-place adds are seen as well as modules.
Nothing is computed: on the meta device tensors have shapes and no values. Convolutions and elementwise operations get their shapes here;
torch's own kernels for `meta` would import its compiler for them, which costs a page 150 MB and two seconds.

The receptive field of a step is the side of the square of input pixels that can reach one position of its output: a window of k pixels
adds (k - 1) x the distance between positions (Araujo et al. 2019, distill.pub/2019/computing-receptive-fields). Where paths meet, the
widest one counts. None stands for the whole image: behind a global pooling, a flattening, an attention over all positions.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

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


# -- receptive field -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Pixels of the input that reach one position, and pixels between neighbouring positions; both down and across."""

    size: tuple[float, float] = (1.0, 1.0)
    jump: tuple[float, float] = (1.0, 1.0)

    def through(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)) -> "Reach":
        size = tuple(s + (k - 1) * d * j for s, j, k, d in zip(self.size, self.jump, _pair(kernel), _pair(dilation), strict=True))
        jump = tuple(j * s for j, s in zip(self.jump, _pair(stride), strict=True))
        return Reach(size=(size[0], size[1]), jump=(jump[0], jump[1]))

    @property
    def pixels(self) -> int | None:
        widest = max(self.size)
        return None if math.isinf(widest) else int(widest)


WHOLE = (math.inf, math.inf)


def _pair(values: Sequence[int] | int) -> tuple[int, int]:
    numbers = (values,) if isinstance(values, int) else tuple(values) or (1,)
    return (int(numbers[0]), int(numbers[-1]))


def _widest(reaches: Sequence[Reach]) -> Reach:
    return Reach(
        size=(max(r.size[0] for r in reaches), max(r.size[1] for r in reaches)),
        jump=(max(r.jump[0] for r in reaches), max(r.jump[1] for r in reaches)),
    )


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


# Only move values, or rename dimensions: no steps of their own unless a module does nothing else.
MOVES = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select", "squeeze", "unsqueeze", "clone", "alias",
    "detach", "split", "split_with_sizes", "chunk", "unbind", "roll", "constant_pad_nd", "_to_copy", "as_strided", "lift_fresh", "copy_",
    "copy", "narrow", "view_as", "contiguous", "repeat", "flip", "index_select",
}  # fmt: skip
NORMS = {
    "native_batch_norm",
    "native_group_norm",
    "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit",
    "cudnn_batch_norm",
    "batch_norm",
}
UNARY = {
    "relu", "gelu", "silu", "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "tanh", "leaky_relu", "elu", "softplus", "mish", "exp",
    "neg", "sqrt", "rsqrt", "dropout", "clamp", "softmax", "_softmax", "log_softmax", "_log_softmax", "clamp_min",
}  # fmt: skip
BINARY = {"add", "sub", "mul", "div"}
KINDS = {
    "convolution": "conv", "addmm": "linear", "mm": "linear", "bmm": "matmul", "baddbmm": "matmul", "max_pool2d_with_indices": "max_pool",
    "avg_pool2d": "avg_pool", "_adaptive_avg_pool2d": "avg_pool", "_softmax": "softmax", "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm", "_native_batch_norm_legit_no_training": "batch_norm",
}  # fmt: skip


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
        found = [self.values[id(t)] for t in _tensors((args, kwargs)) if id(t) in self.values]
        result = _run(name.rstrip("_") if name[-1] == "_" and name[0] != "_" else name, name, func, args, kwargs or {})
        if found:
            self._note(name, func, args, found, result)
        return result

    def _note(self, name: str, func: Any, args: Any, found: list[_Value], result: Any) -> None:
        parameters = tuple(dict.fromkeys(number for value in found for number in value.parameters))
        sources = tuple(dict.fromkeys(step for value in found for step in value.steps))
        outputs = [t for t in _tensors(result) if t.numel()]
        if not outputs:
            return
        if not sources:  # a view of a parameter
            for tensor in outputs:
                self.bind(tensor, _Value(parameters=parameters))
            return
        plain = name.rstrip("_")
        module, call = self.stack[-1]
        kernel, stride, groups = _window(name, args)
        operation = _Operation(
            number=len(self.operations),
            name=plain if name[0] != "_" else name,
            module=module,
            call=call,
            sources=sources,
            shape=tuple(outputs[0].shape),
            parameters=parameters,
            macs=_macs(name, func, args, outputs[0]),
            reach=_reach(name, args, [v.reach for v in found if v.reach is not None], outputs[0], self.side),
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


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)


def _run(plain: str, name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """The result's shape; by torch's own kernel for `meta` where that does without the compiler."""
    first = args[0] if args else None
    if not isinstance(first, Tensor) or first.device.type != "meta":
        return func(*args, **kwargs)
    in_place = name != plain
    if plain == "convolution" and not args[6]:
        return first.new_empty(_convolved(first.shape, args[1].shape, args[3], args[4], args[5], args[8]))
    if plain in NORMS:
        return (first.new_empty(first.shape), first.new_empty(0), first.new_empty(0))
    if plain in UNARY:
        return first if in_place else first.new_empty(first.shape)
    if plain in BINARY:
        shapes = [t.shape for t in _tensors(args[:2])]
        return first if in_place else first.new_empty(np.broadcast_shapes(*shapes))
    if plain == "max_pool2d_with_indices" and len(args) < 5:
        kernel, stride, _ = _window(plain, args)
        return (
            first.new_empty(_slid(first.shape, first.shape[1], kernel, stride, _pair(args[3]) if len(args) > 3 else (0, 0), (1, 1))),
        ) * 2
    if plain == "avg_pool2d" and not any(args[4:5]):
        kernel, stride, _ = _window(plain, args)
        return first.new_empty(_slid(first.shape, first.shape[1], kernel, stride, _pair(args[3]) if len(args) > 3 else (0, 0), (1, 1)))
    if plain == "constant_pad_nd":
        return first.new_empty(_padded(first.shape, args[1]))
    if plain == "addmm":
        return first.new_empty((args[1].shape[0], args[2].shape[1]))
    if plain == "mean" and len(args) > 1 and not kwargs:
        return first.new_empty(_averaged(first.shape, args[1], len(args) > 2 and args[2]))
    return func(*args, **kwargs)


def _convolved(image: Sequence[int], weight: Sequence[int], stride: Any, padding: Any, dilation: Any, groups: int) -> list[int]:
    if image[1] != weight[1] * groups:
        raise RuntimeError(f"a convolution for {weight[1] * groups} channels got {image[1]}")
    return _slid(image, weight[0], weight[2:], stride, padding, dilation)


def _slid(image: Sequence[int], channels: int, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any) -> list[int]:
    """What a sliding window leaves of (B, C, H, W)."""
    sides = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in zip(image[2:], kernel, stride, padding, dilation, strict=True)
    ]
    if min(sides) < 1:
        raise RuntimeError(f"a window of {tuple(kernel)} does not fit on {tuple(image[2:])} pixels")
    return [image[0], channels, *sides]


def _padded(shape: Sequence[int], padding: Sequence[int]) -> list[int]:
    """`padding` has two numbers a dimension, the last dimension first."""
    sizes = list(shape)
    for place in range(len(padding) // 2):
        sizes[-1 - place] += padding[2 * place] + padding[2 * place + 1]
    return sizes


def _averaged(shape: Sequence[int], dims: Sequence[int], keep: bool) -> list[int]:
    gone = {dim % len(shape) for dim in dims}
    return [1 if dim in gone else size for dim, size in enumerate(shape) if keep or dim not in gone]


def _window(name: str, args: Any) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    if name == "convolution":
        return tuple(args[1].shape[2:]), tuple(args[3]), int(args[8])
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        kernel = _pair(args[1])
        return kernel, _pair(args[2]) if len(args) > 2 and args[2] else kernel, 1
    return (), (), 1


def _macs(name: str, func: Any, args: Any, output: Tensor) -> int:
    """Multiply-accumulates of convolutions and matrix products, as torch.utils.flop_counter counts them; everything else counts 0."""
    if name == "convolution":
        return int(output[0].numel() * args[1][0].numel())
    if name in ("mm", "bmm"):
        return output.numel() * int(args[0].shape[-1])
    if name in ("addmm", "baddbmm"):
        return output.numel() * int(args[1].shape[-1])
    if "scaled_dot_product" in name:
        query, key, value = (tuple(args[i].shape) for i in range(3))
        return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))
    return 0


def _reach(name: str, args: Any, reaches: list[Reach], output: Tensor, side: int) -> Reach:
    reach = _widest(reaches)
    shape = tuple(args[0].shape) if isinstance(args[0], Tensor) else ()
    if name == "convolution":
        return reach.through(args[1].shape[2:], args[3], args[5])
    if name in ("max_pool2d_with_indices", "avg_pool2d"):
        kernel, stride, _ = _window(name, args)
        return reach.through(kernel, stride)
    if name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d", "mean"):
        return _pooled(reach, shape, tuple(output.shape))
    if name in ("view", "_unsafe_view", "reshape"):
        flattens = len(shape) == 4 and output.ndim == 2 and output.shape[0] == shape[0] and shape[2] * shape[3] > 1
        return Reach(size=WHOLE, jump=reach.jump) if flattens else reach
    if name == "slice" and len(args) > 4 and args[4] > 1:  # every second row, then every second column
        axis = 0 if reach.jump[0] <= reach.jump[1] else 1
        return reach.through((1, 1), (args[4], 1) if axis == 0 else (1, args[4]))
    if (
        name == "bmm" and len(reaches) > 1 and shape[-1] == shape[-2]
    ):  # weights of n positions x values; before it, queries x keys mix nothing
        return _attended(reach, shape[-1], side)
    if "scaled_dot_product" in name:
        return _attended(reach, int(args[1].shape[-2]), side)
    return reach


def _pooled(reach: Reach, before: tuple[int, ...], after: tuple[int, ...]) -> Reach:
    """An adaptive pooling or a mean; over all positions it sees the whole image."""
    if len(before) != 4:
        return Reach(size=WHOLE, jump=reach.jump) if len(before) == 3 and len(after) < 3 else reach
    if len(after) < 4 or after[2] * after[3] == 1:
        return Reach(size=WHOLE, jump=reach.jump)
    windows = tuple(math.ceil(before[i] / after[i]) for i in (2, 3))
    return reach.through(windows, windows)


def _attended(reach: Reach, tokens: int, side: int) -> Reach:
    """Attention over all positions sees everything; over windows of w x w positions (Swin) it sees the window."""
    everywhere = math.ceil(side / reach.jump[0]) * math.ceil(side / reach.jump[1])
    if tokens >= everywhere:
        return Reach(size=WHOLE, jump=reach.jump)
    return reach.through((math.isqrt(tokens),) * 2, (1, 1))


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
