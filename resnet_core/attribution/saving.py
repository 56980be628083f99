"""Maps as files: the numbers, or a picture, each with the request inside that gives them again."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo

from resnet_core.attribution.computing import Attribution
from resnet_core.attribution.ranking import places

KINDS = (".npz", ".png")
SIDE = 448  # px that the longer side of a picture has at least
DIVERGING = ((0.0, "#5B2185"), (0.2, "#8A55B0"), (0.4, "#C3A8D6"), (0.5, "#E6E6E8"), (0.6, "#A6D3AE"), (0.8, "#4C9F62"), (1.0, "#0F5F2E"))
"""Places from 0 to 1, 0 of the map at 0.5: the colours of the maps on the pages."""


def as_npz(attribution: Attribution, image: NDArray[np.uint8], about: Mapping[str, Any]) -> bytes:
    """`map` (C, H, W), `image` as it was, a layer method's raw maps as `strip/NAME`, and `settings`, which is JSON."""
    arrays: dict[str, Any] = {f"strip/{layer.name}": layer.map for layer in attribution.strip}
    arrays |= {"map": attribution.map, "image": image, "settings": np.array(_described(attribution, about))}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def as_png(attribution: Attribution, about: Mapping[str, Any]) -> bytes:
    """The sum over channels, violet against and green for the class, grey at 0; the request stands in the text `Settings`."""
    values = np.nan_to_num(places(attribution.map), nan=0.0, posinf=0.0, neginf=0.0)  # what is no number speaks for nothing
    limit = np.abs(values).max() or 1.0
    ends = [place for place, _ in DIVERGING]
    stops = np.array([ImageColor.getrgb(colour)[:3] for _, colour in DIVERGING])
    colours = [np.interp((values / limit + 1) / 2, ends, stops[:, channel]) for channel in range(3)]
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
