"""Any picture becomes what a network was trained on; what cannot be read is one sentence."""

import io

import numpy as np
import pytest
from PIL import Image

from resnet_core.config import DataConfig
from resnet_core.data import load_spec
from resnet_core.data.picture import prepare_picture
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError

GREY = load_spec(DataConfig())
COLOUR = DataSpec(name="c", channels=3, height=32, width=32, classes=("a", "b"), mean=(0.5,) * 3, std=(0.2,) * 3)
RED = np.zeros((64, 32, 3), np.uint8)
RED[..., 0] = 255


def as_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(("spec", "shape"), [(GREY, (1, 28, 28)), (COLOUR, (3, 32, 32))])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "I;16", "1"])
def test_every_kind_of_picture_gets_the_network_s_shape(spec: DataSpec, shape: tuple[int, ...], mode: str) -> None:
    image = Image.fromarray(RED[..., 0].astype(np.uint16) * 100) if mode == "I;16" else Image.fromarray(RED).convert(mode)
    found = prepare_picture(as_file(image, "TIFF"), "red", spec)
    assert found.pixels.shape == shape
    assert found.pixels.dtype == np.uint8
    assert found.channels == (3 if mode in ("RGB", "RGBA", "P", "CMYK") else 1)


def test_colour_stays_where_the_network_knows_it_and_becomes_its_brightness_where_not() -> None:
    content = as_file(Image.fromarray(RED))
    assert prepare_picture(content, "red", COLOUR).pixels[:, 5, 5].tolist() == [255, 0, 0]
    assert prepare_picture(content, "red", GREY).pixels[0, 5, 5] == 76  # ITU-R 601: 0.299 of red


def test_of_an_animation_the_first_picture_is_used() -> None:
    frames = [Image.fromarray(RED), Image.fromarray(255 - RED)]
    content = as_file(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:])
    found = prepare_picture(content, "red.webp", COLOUR)
    assert found.frames == 2
    assert found.pixels[:, 5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"no image", as_file(Image.fromarray(RED))[:60], b"GIF89a" + bytes(20)])
def test_what_cannot_be_read_is_said_with_its_name(content: bytes) -> None:
    with pytest.raises(UserError, match=r"mine\.png"):
        prepare_picture(content, "mine.png", COLOUR)
