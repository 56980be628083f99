"""What the table of networks holds for each: how to build it, and what may be asked of it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec

SMALL_IMAGE = 64  # sides up to this keep their resolution in an automatic stem

# Why DeepLift's attributions would not add up to the difference that they explain: Captum 0.9 multiplies slopes module by module, so every
# non-linearity must be a module of a kind that it knows, used once, and its rule for max pooling is right for constant baselines only.
MAX_POOL = "max_pool"
GROUP_NORM = "group_norm"  # divides by what it computed from the same image
OTHER_ACTIVATION = "other_activation"  # ReLU6, SiLU, Hardswish, GELU: taken as if they were straight lines
ATTENTION = "attention"  # products of activations with activations
GATE = "gate"  # the same: squeeze-and-excitation multiplies channels by what it computed from them
DEEPLIFT_OBSTACLES = (MAX_POOL, GROUP_NORM, OTHER_ACTIVATION, ATTENTION, GATE)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What may be asked of a network on some data. Pages and commands read this instead of guessing.

    has_blocks: it is built of `ResidualBlock`s, so that F and x can be recorded, removed and split.
    has_shortcuts: those blocks have shortcuts (a plain twin's have not). Both are False for networks whose adds have no name.
    gradcam_layers: names of layers that give maps (B, C, h, w), shallow to deep; empty where the network keeps no map of the image.
    deeplift_obstacle: one of DEEPLIFT_OBSTACLES, or "" where DeepLift is sound.
    smallest, multiple_of: sides (px) that an image must have at least, and must be a multiple of.
    """

    has_blocks: bool = False
    has_shortcuts: bool = False
    gradcam_layers: tuple[str, ...] = ()
    deeplift_obstacle: str = ""
    smallest: int = 1
    multiple_of: int = 1
    family: str = ""
    source: str = ""

    @property
    def deeplift_sound(self) -> bool:
        return not self.deeplift_obstacle


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One network: how to build it (without weights' values), its twin's name, where it comes from.

    `depth` counts the layers with weights on the longest path (an attention block has four). `settings` are the fields of ModelConfig
    that mean something to it. `he` networks get their weights from `initialize`, the others from their library's own rules. `extra` is
    the package it needs besides requirements.txt.
    """

    name: str
    family: str
    depth: int
    build: Callable[[ModelConfig, DataSpec], nn.Module]
    capabilities: Callable[[ModelConfig, DataSpec], Capabilities]
    settings: tuple[str, ...]
    twin: str | None = None
    source: str = ""
    he: bool = False
    extra: str | None = None


def is_small(config: ModelConfig, spec: DataSpec) -> bool:
    """Whether the network is the one for small images: as asked for, else by the data's size."""
    if config.stem == "auto":
        return max(spec.height, spec.width) <= SMALL_IMAGE
    return config.stem == "small"
