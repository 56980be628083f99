"""Look, don't touch: temporary hooks on named places, and a model given back as it was found, also after an exception."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def untouched(model: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """The model in eval (or train) mode; at the end every module's mode, every gradient and every buffer is as before."""
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()] if training else []
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield model.train(training)
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)


@contextlib.contextmanager
def hooked(places: Mapping[str, nn.Module], see: Callable[[str, tuple[Tensor, ...], Tensor], None]) -> Iterator[None]:
    """While open, `see(name, inputs, output)` is called after each forward of each place. It must not return or change anything."""
    handles = []
    try:
        for name, module in places.items():
            handles.append(module.register_forward_hook(_hook(name, see)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, see: Callable[[str, tuple[Tensor, ...], Tensor], None]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        see(name, inputs, output)

    return hook


@contextlib.contextmanager
def recorded(places: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """A cache name -> output of that place in the last forward pass, detached."""
    cache: dict[str, Tensor] = {}
    with hooked(places, lambda name, inputs, output: cache.__setitem__(name, output.detach())):
        yield cache
