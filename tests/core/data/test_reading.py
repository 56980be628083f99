"""Image files of people: read, turned upright, or refused in one sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_core.data.reading import MOST_PIXELS, flattened, open_image
from resnet_core.errors import UserError

GRADIENT = np.broadcast_to(np.linspace(10, 240, 60).astype(np.uint8), (40, 60))  # dark left, bright right


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refused(source: bytes | Path) -> UserError:
    with pytest.raises(UserError) as caught:
        flattened(open_image(source, "mine"))
    return caught.value


def png_of_size(width: int, height: int) -> bytes:
    """A whole, valid black-and-white PNG of this size, all 0: some kilobytes even for 20,000 x 20,000."""
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "L"), ("PNG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("BMP", "RGB"), ("GIF", "L"), ("TIFF", "LAB"), ("WEBP", "RGB")],
)
def test_formats_and_modes_come_out_as_gray_or_rgb(kind: str, mode: str) -> None:
    image = Image.fromarray(GRADIENT)
    if mode == "LAB":
        gray = np.asarray(image)
        image = Image.merge("LAB", [Image.fromarray(band) for band in (gray.copy(), np.zeros_like(gray), np.zeros_like(gray))])
    flat = flattened(open_image(saved(image.convert(mode), kind)))
    assert flat.mode in ("L", "RGB")
    assert np.abs(np.asarray(flat.convert("L")).astype(int) - GRADIENT).max() <= 4


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    image = flattened(open_image(saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)))
    assert set(image.get_flattened_data() if hasattr(image, "get_flattened_data") else image.getdata()) == {(255, 0, 0)}


def test_sixteen_bits_are_scaled_by_their_own_range() -> None:
    deep = np.asarray(GRADIENT, np.uint16) * 8 + 30_000  # a narrow range in the middle: the upper eight bits alone would be flat
    flat = np.asarray(flattened(open_image(saved(Image.fromarray(deep), "PNG"))), float)
    expected = (GRADIENT.astype(float) - 10) * 255 / 230
    assert np.abs(flat - expected).max() <= 0.5 + 1e-9


def test_floats_that_are_no_numbers_count_as_0() -> None:
    values = np.array([[0, 1, 2], [np.nan, np.inf, -np.inf]], np.float32)
    flat = np.asarray(flattened(open_image(saved(Image.fromarray(values), "TIFF"))))
    assert flat.tolist() == [[0, 128, 255], [0, 0, 0]]


@pytest.mark.parametrize("ink", [0, 255])
def test_drawn_on_nothing_ink_is_laid_on_the_opposite_ground(ink: int) -> None:
    pixels = np.zeros((10, 10, 4), np.uint8)
    pixels[3:6, 3:6] = (ink, ink, ink, 255)
    pixels[7, 7] = (ink, ink, ink, 51)  # a fifth
    flat = np.asarray(flattened(open_image(saved(Image.fromarray(pixels), "PNG"))))[..., 0]
    assert flat[4, 4] == ink
    assert flat[0, 0] == 255 - ink
    assert flat[7, 7] == round(ink / 5 + (255 - ink) * 4 / 5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_stands_upright(orientation: int) -> None:
    upright = np.zeros((24, 40), np.uint8)
    upright[:12, :20] = 250  # only the upper left quarter is bright
    upright[:12, 20:] = 120
    image = Image.fromarray(upright)
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    if orientation > 1:  # what the camera stored: the EXIF number says how to turn it back
        image = image.transpose(Image.Transpose[back[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = np.asarray(flattened(open_image(saved(image, "PNG", exif=exif))))
    assert np.array_equal(shown, upright)


def test_a_text_named_png_and_other_files_that_are_no_images(tmp_path: Path) -> None:
    text = tmp_path / "digit.png"
    text.write_text("this is no image")
    assert refused(text).code == "image_unreadable"
    assert refused(b"").code == "image_unreadable"
    assert refused(tmp_path).code == "image_unreadable"
    assert refused(tmp_path / "nowhere.png").code == "file_missing"
    assert "mine" in str(refused(b"text"))


def test_postscript_is_never_run() -> None:
    assert refused(saved(Image.new("L", (20, 20)), "EPS")).code == "image_unreadable"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_half_a_file(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    raw = saved(Image.fromarray(noise), kind)
    assert refused(raw[: len(raw) // 2]).code == "image_unreadable"


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (9_000, 8_000), (12_000, 12_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_by_the_header(width: int, height: int) -> None:
    raw = (
        png_of_size(width, height)
        if width < 60_000
        else png_of_size(8, 8).replace(struct.pack(">II", 8, 8), struct.pack(">II", width, height))
    )
    if width == 60_000:  # the checksum of the changed header
        raw = raw[:29] + struct.pack(">I", zlib.crc32(raw[12:29])) + raw[33:]
    error = refused(raw)
    assert error.code == "image_too_large"
    assert (error.values["width"], error.values["height"]) == (width, height)
    assert width * height > MOST_PIXELS


def test_a_decompression_bomb_in_a_text_chunk() -> None:
    data = b"zTXt" + b"key\0\0" + zlib.compress(bytes(80_000_000), 9)
    raw = png_of_size(8, 8)
    raw = raw[:33] + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)) + raw[33:]
    assert refused(raw).code == "image_unreadable"


def test_a_jpeg_may_come_smaller_but_not_below_the_side() -> None:
    raw = saved(Image.new("RGB", (1600, 1200), "white"), "JPEG")
    small = open_image(raw, least_side=300)
    assert 300 <= min(small.size) < 1200
    assert open_image(raw).size == (1600, 1200)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd EXIF, palettes and sizes, as it may
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM", "TGA"])
def test_damaged_bytes_give_an_image_or_a_sentence(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    good = saved(Image.fromarray(GRADIENT).convert("RGB"), kind, **options)
    generator = np.random.default_rng(7)
    outcomes = set()
    for _ in range(120):
        raw = bytearray(good)
        for place in generator.integers(0, min(len(raw), 400), 3):
            raw[place] = generator.integers(256)
        try:
            outcomes.add(flattened(open_image(bytes(raw))).mode)
        except UserError as error:
            outcomes.add(error.code)
    assert outcomes <= {"L", "RGB", "image_unreadable", "image_too_large"}
    assert outcomes & {"L", "RGB"}
