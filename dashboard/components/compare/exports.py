"""Attribution maps to take away: a picture and the numbers, each with the settings that made them inside."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dashboard.charts.theme import DIVERGING, symmetric_limit
from dashboard.components.compare.maps import Request, image_of, in_one
from dashboard.components.compare.pair import Pair
from dashboard.measuring import pixels_of
from resnet_core.attribution import Attribution

CELL, GAP = 224, 8  # px
Found = Sequence[tuple[Request, tuple[Attribution, Attribution]]]


def settings_of_maps(pair: Pair, found: Found) -> dict[str, Any]:
    """All that is needed to get the same maps again, and what was measured on the way."""
    return {
        "networks": {side: {"checkpoint": c.name, "model": c.model_name, "weights_sha256": c.weights_sha256} for side, c in zip("AB", pair.checkpoints, strict=True)},
        "image": str(pair.image),
        "maps": [
            {
                "method": request.method,
                "settings": request.settings.to_dict(),
                "target": request.target,
                "seed": both[0].seed,
                **{
                    side: {"steps": one.steps, "completeness_error": one.completeness_error, "probability": one.probability}
                    for side, one in zip("AB", both, strict=True)
                },
            }
            for request, both in found
        ],
    }  # fmt: skip


def as_npz(pair: Pair, found: Found, opacity: float, channel: int | None) -> bytes:
    """`image`, and for each method `A_METHOD`, `B_METHOD` (C, H, W) as measured; `settings` is JSON."""
    arrays: dict[str, NDArray[Any]] = {"image": image_of(pair, 0)[0].numpy()}
    for request, both in found:
        for side, one in zip("AB", both, strict=True):
            arrays[f"{side}_{request.method}"] = one.map
    buffer = io.BytesIO()
    np.savez_compressed(buffer, settings=np.array(json.dumps(settings_of_maps(pair, found))), **arrays)
    return buffer.getvalue()


def as_png(pair: Pair, found: Found, opacity: float, channel: int | None) -> bytes:
    """A row per network, the image first; each method on the scale that both share. The settings stand in the file's text `Settings`."""
    image = Image.fromarray(pixels_of(image_of(pair, 0)[0])).convert("RGB").resize((CELL, CELL), Image.Resampling.NEAREST)
    sheet = Image.new("RGB", ((CELL + GAP) * (1 + len(found)) - GAP, 2 * CELL + GAP), "white")
    sheet.paste(image, (0, 0))
    for place, (_, both) in enumerate(found, start=1):
        values = [in_one(one.map, channel) for one in both]
        limit = symmetric_limit(values)
        for row, one in enumerate(values):
            drawn = Image.fromarray(coloured(one / limit)).resize((CELL, CELL), Image.Resampling.NEAREST)
            sheet.paste(Image.blend(image, drawn, opacity), (place * (CELL + GAP), row * (CELL + GAP)))
    text = PngInfo()
    text.add_itxt("Settings", json.dumps(settings_of_maps(pair, found)))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", pnginfo=text)
    return buffer.getvalue()


def coloured(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """-1 to 1 -> the diverging scale's colours (H, W, 3)."""
    places = [2 * place - 1 for place, _ in DIVERGING]
    colours = np.array([[int(color[start : start + 2], 16) for start in (1, 3, 5)] for _, color in DIVERGING])
    return np.stack([np.interp(values, places, colours[:, channel]) for channel in range(3)], axis=-1).round().astype(np.uint8)
