"""Maps as files: the numbers, or a picture, each with the request inside that gives them again."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from resnet_core.attribution.computing import Attribution
from resnet_core.attribution.ranking import places

KINDS = (".npz", ".png")
SIDE = 448  # px that the longer side of a picture has at least
SCALE = (
    (-1.0, (5, 48, 97)),
    (-0.5, (67, 147, 195)),
    (0.0, (247, 247, 247)),
    (0.5, (214, 96, 77)),
    (1.0, (103, 0, 31)),
)  # ColorBrewer's RdBu


def as_npz(attribution: Attribution, image: NDArray[np.uint8], about: Mapping[str, Any]) -> bytes:
    """`map` (C, H, W), `image` as it was, a layer method's raw maps as `strip/NAME`, and `settings`, which is JSON."""
    arrays: dict[str, Any] = {f"strip/{layer.name}": layer.map for layer in attribution.strip}
    arrays |= {"map": attribution.map, "image": image, "settings": np.array(_described(attribution, about))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def as_png(attribution: Attribution, about: Mapping[str, Any]) -> bytes:
    """The sum over channels, blue against and red for the class, white at 0; the request stands in the text `Settings`."""
    values = places(attribution.map)
    limit = np.abs(values).max() or 1.0
    ends = [place for place, _ in SCALE]
    colours = [np.interp(values / limit, ends, [colour[channel] for _, colour in SCALE]) for channel in range(3)]
    picture = Image.fromarray(np.stack(colours, axis=-1).round().astype(np.uint8))
    factor = max(1, -(-SIDE // max(picture.size)))
    text = PngInfo()
    text.add_itxt("Settings", _described(attribution, about))
    buffer = io.BytesIO()
    picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST).save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def _described(attribution: Attribution, about: Mapping[str, Any]) -> str:
    return json.dumps(
        {
            **about, "method": attribution.method, "settings": attribution.settings.to_dict(), "seed": attribution.seed,
            "target": attribution.target, "probability": attribution.probability, "total": attribution.total, "steps": attribution.steps,
            "completeness_delta": attribution.completeness_delta,
        }
    )  # fmt: skip
