"""ImageNet weights, by torchvision's and timm's own loaders, on our channels, sizes and classes.

A file that lies in the loader's cache is not fetched again (torch.hub.get_dir()/checkpoints, huggingface_hub's cache).
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError
from resnet_core.models.catalog import IMAGENET_STAGES, INSIDES, build_model
from resnet_core.models.foreign import FittedWeights, fit_weights, unwrapped
from resnet_core.models.timm_zoo import TIMM_NAMES, load_timm
from resnet_core.models.zoo import TORCHVISION

# Chen, Xie and He 2021: ViT-S after 300 epochs without labels, https://github.com/facebookresearch/moco-v3
MOCO_V3 = "https://dl.fbaipublicfiles.com/moco-v3/vit-s-300ep/vit-s-300ep.pth.tar"
UNTRAINED = ("lenet5", "seresnet18")  # nobody publishes weights for them
BROKEN = (pickle.UnpicklingError, EOFError, KeyError, ValueError)


def has_pretrained(name: str) -> bool:
    return name in pretrained_names()


def pretrained_names() -> tuple[str, ...]:
    """Networks with published ImageNet weights."""
    ours = (*(f"resnet{depth}" for depth in IMAGENET_STAGES), *INSIDES)
    others = (*(entry.name for entry in TORCHVISION), *TIMM_NAMES, "mocov3_vit_small")
    return (*ours, *(name for name in others if name not in UNTRAINED))


def pretrained_state(config: ModelConfig, spec: DataSpec, *, seed: int = 0, average: bool = True) -> FittedWeights:
    """All weights of this network on these data, the published ones where they fit, and which were kept, averaged or drawn afresh.

    The first convolution is averaged over colours where only the channels differ (with `average` off it is drawn afresh), the head is
    fresh unless there are as many classes. Raises pretrained_unavailable, pretrained_unreachable, weights_damaged, weights_do_not_fit.
    """
    if not has_pretrained(config.model):
        raise UserError("pretrained_unavailable", model=config.model)
    theirs, source = _fetch(config.model)
    return fit_weights(build_model(config, spec, seed=seed), theirs, source=source, name=config.model, average=average)


def _fetch(name: str) -> tuple[dict[str, Tensor], str]:
    if name in TIMM_NAMES:
        return load_timm(name)
    url = MOCO_V3 if name == "mocov3_vit_small" else _torchvision_url(name)
    found = _from_hub(name, url)
    if name == "mocov3_vit_small":
        encoder = "base_encoder."
        found = {key.removeprefix(encoder): value for key, value in found.items() if key.startswith(encoder) and ".head." not in key}
    return found, url


def _torchvision_url(name: str) -> str:
    from torchvision.models import get_model_weights

    return str(get_model_weights(name).DEFAULT.url)


def _from_hub(name: str, url: str) -> dict[str, Tensor]:
    """What torch.hub loads: `weights_only`, from its cache or from the network, the download checked against the hash in its name."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    cached = path.is_file()
    try:
        found: Any = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=not url.endswith(".tar"), weights_only=True
        )
    except BROKEN as error:
        raise UserError("weights_damaged", path=path, reason=_first_line(error)) from error
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a wrong hash or a broken zip file is a RuntimeError
        if cached:
            raise UserError("weights_damaged", path=path, reason=_first_line(error)) from error
        raise UserError("pretrained_unreachable", model=name, url=url, reason=_first_line(error), path=path) from error
    weights = unwrapped(found)
    if weights is None:
        raise UserError("weights_damaged", path=path, reason="it holds no state_dict")
    return weights


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
