"""The rest of the wider family, through timm (an extra: `pip install timm`), which is imported when such a network is built."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.errors import UserError
from resnet_core.models.adapting import change_conv, leave_out
from resnet_core.models.entry import ATTENTION, GATE, MAX_POOL, ModelEntry
from resnet_core.models.zoo import Build, Place, entry

LONGEST_WAVE = 10_000.0  # of the slowest wave in the positions of MoCo v3, as in Vaswani et al. 2017


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UserError("package_missing", package="timm") from error
    return timm


def _transformer(name: str, asked: Build) -> nn.Module:
    sizes = {"img_size": asked.height, "patch_size": asked.patch}
    return _timm().create_model(name, in_chans=asked.channels, num_classes=asked.classes, **sizes)  # type: ignore[no-any-return]


def _mocov3(asked: Build) -> nn.Module:
    """ViT-S as MoCo v3 has it: 12 heads of 32 units, and positions that are waves in two dimensions and never learn."""
    _timm()
    from timm.models.vision_transformer import VisionTransformer

    model: nn.Module = VisionTransformer(
        asked.height, asked.patch, asked.channels, asked.classes, embed_dim=384, depth=12, num_heads=12, mlp_ratio=4
    )
    del model.pos_embed
    model.register_buffer("pos_embed", waves(asked.height // asked.patch, 384))
    return model


def waves(side: int, width: int) -> Tensor:
    """Positions (1, 1 + side * side, width) of side x side patches: sines and cosines of row and column; zeros for the class token."""
    frequencies = LONGEST_WAVE ** -(torch.arange(width // 4, dtype=torch.float32) / (width // 4))
    column, row = torch.meshgrid(torch.arange(side, dtype=torch.float32), torch.arange(side, dtype=torch.float32), indexing="xy")
    angles = [place.flatten()[:, None] * frequencies for place in (row, column)]  # rows first, as in their code
    patches = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, width), patches])[None]


def _seresnet(name: str, asked: Build) -> nn.Module:
    model: nn.Module = _timm().create_model(name, in_chans=asked.channels, num_classes=asked.classes)
    if asked.small:
        change_conv(model, "conv1", kernel_size=3, stride=1, padding=1)
        leave_out(model, "maxpool")
    return model


def _inception_resnet(asked: Build) -> nn.Module:
    model: nn.Module = _timm().create_model("inception_resnet_v2", in_chans=asked.channels, num_classes=asked.classes)
    if asked.small:
        change_conv(model, "conv2d_1a.conv", stride=1)
        leave_out(model, "maxpool_3a")
    return model


def _transformer_entry(name: str, timm_name: str, family: str, source: str) -> ModelEntry:
    place = Place(obstacle=ATTENTION)
    build = partial(_transformer, timm_name)
    return entry(name, family, 50, build, source=source, small=place, original=place, settings=("stem",), patches=(4, 16), extra="timm")


def _seresnet_entry(depth: int) -> ModelEntry:
    return entry(
        f"seresnet{depth}",
        "seresnet",
        depth,
        partial(_seresnet, f"seresnet{depth}"),
        source="Hu et al. 2017, arXiv:1709.01507",
        small=Place(obstacle=GATE),
        original=Place(obstacle=GATE),
        gradcam=("layer1", "layer2", "layer3", "layer4"),
        extra="timm",
    )


DEIT = "Touvron et al. 2020, arXiv:2012.12877"
TIMM: tuple[ModelEntry, ...] = (
    _transformer_entry("deit_tiny", "deit_tiny_patch16_224", "deit", DEIT),
    _transformer_entry("deit_small", "deit_small_patch16_224", "deit", DEIT),
    _transformer_entry("beit_base", "beit_base_patch16_224", "beit", "Bao et al. 2021, arXiv:2106.08254"),
    entry(
        "mocov3_vit_small",
        "mocov3",
        50,
        _mocov3,
        source="Chen et al. 2021, arXiv:2104.02057",
        small=Place(obstacle=ATTENTION),
        original=Place(obstacle=ATTENTION),
        patches=(4, 16),
        extra="timm",
    ),
    entry(
        "inception_resnet_v2",
        "inception",
        164,
        _inception_resnet,
        source="Szegedy et al. 2016, arXiv:1602.07261",
        small=Place(smallest=21, obstacle=MAX_POOL),
        original=Place(smallest=75, obstacle=MAX_POOL),
        gradcam=("repeat", "repeat_1", "conv2d_7b"),
        extra="timm",
    ),
    *(_seresnet_entry(depth) for depth in (18, 50)),
)


# -- pretrained weights --------------------------------------------------------------------------------------------------------------------

TIMM_NAMES = {
    "deit_tiny": "deit_tiny_patch16_224",
    "deit_small": "deit_small_patch16_224",
    "beit_base": "beit_base_patch16_224",
    "inception_resnet_v2": "inception_resnet_v2",
    "seresnet50": "seresnet50",
}  # ours -> timm's, where timm has weights


def load_timm(name: str) -> tuple[dict[str, Tensor], str]:
    """The published weights and where they come from, by timm's loader. Raises pretrained_unreachable."""
    timm = _timm()
    known = TIMM_NAMES[name]
    source = f"timm/{known}"
    if config := timm.get_pretrained_cfg(known):
        source = str(config.hf_hub_id or config.url or source)
    try:
        model = timm.create_model(known, pretrained=True)
    except (OSError, RuntimeError) as error:  # huggingface_hub's errors, those of its HTTP library included, are of these kinds
        from huggingface_hub.constants import HF_HUB_CACHE

        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            "pretrained_unreachable", model=name, url=f"https://huggingface.co/{source}", reason=reason, path=HF_HUB_CACHE
        ) from error
    return dict(model.state_dict()), source
