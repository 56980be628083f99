"""Which methods are sound for a network, and of the others why not."""

from collections.abc import Callable

from resnet_core.attribution.methods import METHODS, Method
from resnet_core.attribution.traits import Traits
from resnet_core.errors import UserError

Why = Callable[[Method, Traits, str], UserError | None]


def _relus(method: Method, traits: Traits, name: str) -> UserError | None:
    if traits.activations or not traits.relus:
        return UserError("method_needs_relus", method=method.title, name=name, found=", ".join(traits.activations) or "0 ReLU")
    return None


def _deeplift(method: Method, traits: Traits, name: str) -> UserError | None:
    if traits.reused:
        return UserError("method_relu_reused", method=method.title, name=name, found=traits.reused[0])
    if traits.unruled:
        return UserError("method_layer_unruled", method=method.title, name=name, found=", ".join(traits.unruled))
    return None


def _maps(method: Method, traits: Traits, name: str) -> UserError | None:
    return None if traits.stages else UserError("method_needs_maps", method=method.title, name=name)


def _blocks(method: Method, traits: Traits, name: str) -> UserError | None:
    return None if traits.blocks else UserError("method_needs_blocks", method=method.title, name=name)


NEEDS: dict[str, Why] = {
    "relus": _relus,
    "deeplift": _deeplift,
    "maps": _maps,
    "blocks": _blocks,
    "references": lambda method, traits, name: None,  # a need of other images, which the caller gives; black, mean and blurred stand in
}
NEED_HELP: dict[str, str] = {
    "relus": "ReLU as the only activation, each as a module",
    "deeplift": "each ReLU used once, and no layer without a sound DeepLift rule (max pooling, GroupNorm, products)",
    "maps": "layers whose output still has places",
    "blocks": "residual blocks or their plain twins",
    "references": "other images to compare with",
}


def why_not(method: Method, traits: Traits, name: str = "this network") -> UserError | None:
    """The error that asking for this method would raise, as a sentence with its reason; None where the method is sound."""
    return next((error for need in method.needs if (error := NEEDS[need](method, traits, name)) is not None), None)


def offered(traits: Traits, name: str = "this network") -> dict[str, UserError | None]:
    """Every method of the table by its name, with why_not."""
    return {key: why_not(method, traits, name) for key, method in METHODS.items()}
