"""Photos and scans of a digit: either ink, any paper, and dirt."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.photo import find_ink, ink_is_dark, otsu_level, paper_under, prepare_photo
from resnet_core.errors import UserError

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def drawings() -> list[Floats]:
    """20 digits of MNIST, twelve times enlarged and smooth, as ink from 0 to 1 (336, 336)."""
    images = read_mnist_mini("test").images[::500, 0].numpy()
    return [np.asarray(Image.fromarray(image).resize((336, 336), Image.Resampling.BICUBIC), float) / 255 for image in images]


def photo(ink: Floats, paper: Floats | float, strength: float) -> Image.Image:
    """Ink of this strength (negative: darker than the paper) on paper of this brightness."""
    return Image.fromarray((paper + strength * ink).round().clip(0, 255).astype(np.uint8))


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_dark_on_light_is_exactly_light_on_dark_turned_round(drawings: list[Floats]) -> None:
    for ink in drawings:
        dark = np.asarray(photo(ink, 230, -190))
        on_light, on_dark = prepare_photo(Image.fromarray(dark)), prepare_photo(Image.fromarray(255 - dark))
        assert np.array_equal(on_light.image, on_dark.image)
        assert on_light.steps[0].values["inverted"] == 1
        assert on_dark.steps[0].values["inverted"] == 0


def test_a_clean_photo_gives_nearly_the_sketch(drawings: list[Floats]) -> None:
    """The same ink, white on black, prepared as a photo of it and as the MNIST image it was."""
    images = read_mnist_mini("test").images[::500, 0].numpy()
    differences = [apart(prepare_photo(photo(ink, 235, -200)).image, image) for ink, image in zip(drawings, images, strict=True)]
    assert np.median(differences) < 9  # 7 measured; one pixel off the middle is 25


def test_shadow_noise_ruled_lines_and_a_dark_table_make_little_difference(drawings: list[Floats]) -> None:
    generator = np.random.default_rng(0)
    differences = []
    for ink in drawings:
        clean = prepare_photo(photo(np.pad(ink, 80), 235, -180)).image
        paper = np.linspace(235, 150, 496) + generator.normal(0, 3, (496, 496))  # a shadow from the side
        paper[430:433] -= 70  # a ruled line
        paper[:, :25] = 30  # the table
        paper[40:44, 300:304] = 40  # a speck
        differences.append(apart(prepare_photo(photo(np.pad(ink, 80), paper, -140)).image, clean))
    assert np.median(differences) < 8
    assert np.percentile(differences, 90) < 20


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (400, 300)])
def test_blank_paper_is_empty(level: int, shape: tuple[int, int]) -> None:
    prepared = prepare_photo(Image.fromarray(np.full(shape, level, np.uint8)))
    assert prepared.empty
    assert not prepared.image.any()
    assert [step.name for step in prepared.steps] == ["photo", "ink", "drawn"]


def test_noisy_paper_is_empty() -> None:
    generator = np.random.default_rng(1)
    for deviation in (2, 10, 30):
        noise = generator.normal(128, deviation, (600, 400)).clip(0, 255).astype(np.uint8)
        assert prepare_photo(Image.fromarray(noise)).empty


def test_one_dot_is_found() -> None:
    paper = np.full((300, 300), 240, np.uint8)
    paper[100:115, 200:215] = 20
    image = prepare_photo(Image.fromarray(paper)).image
    assert image[8:20, 8:20].min() > 200


def test_a_digit_in_the_alpha_channel_alone(drawings: list[Floats]) -> None:
    for level in (0, 255):
        pixels = np.full((336, 336, 4), level, np.uint8)
        pixels[..., 3] = (drawings[3] * 255).astype(np.uint8)
        image = prepare_photo(Image.fromarray(pixels)).image
        assert apart(image, prepare_photo(photo(drawings[3], 0, 255)).image) < 2


def test_every_kind_of_file_gives_the_same(drawings: list[Floats], tmp_path: Path) -> None:
    picture = photo(drawings[5], 235, -200)
    expected = prepare_photo(picture).image
    deep = Image.fromarray(np.asarray(picture, np.uint16) * 257)
    for name, image, options in (
        ("rgb.png", picture.convert("RGB"), {}),
        ("deep.png", deep, {}),
        ("cmyk.jpg", picture.convert("RGB").convert("CMYK"), {"quality": 95}),
        ("gray.jpg", picture, {"quality": 95}),
        ("moving.gif", picture, {"save_all": True, "append_images": [Image.new("L", picture.size)]}),
    ):
        image.save(tmp_path / name, **options)
        for source in (tmp_path / name, str(tmp_path / name), (tmp_path / name).read_bytes()):
            assert apart(prepare_photo(source).image, expected) < 3, name


def test_a_turned_photo_of_a_phone(drawings: list[Floats]) -> None:
    upright = photo(np.pad(drawings[7], ((0, 0), (700, 464))), 235, -200)  # 336 high, 1500 wide
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95, exif=exif)
    prepared = prepare_photo(file.getvalue())
    assert apart(prepared.image, prepare_photo(upright).image) < 4
    assert (prepared.steps[0].values["width"], prepared.steps[0].values["height"]) == (1500, 336)


def test_the_size_that_is_told_is_that_of_the_file() -> None:
    file = io.BytesIO()
    Image.new("L", (3000, 2000), 255).save(file, "JPEG")
    assert prepare_photo(file.getvalue()).steps[0].values == {"width": 3000, "height": 2000, "inverted": 0}


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_text("no image")
    for source, name in ((tmp_path / "digit.png", "digit.png"), (str(tmp_path / "digit.png"), "digit.png"), (b"no image", "image")):
        with pytest.raises(UserError, match=name) as caught:
            prepare_photo(source)
        assert caught.value.code == "image_unreadable"
    with pytest.raises(UserError, match="upload 3"):
        prepare_photo(b"no image", "upload 3")


def test_otsu_parts_two_heaps_and_its_level_is_the_best() -> None:
    generator = np.random.default_rng(2)
    values = np.concatenate([generator.normal(40, 8, 900), generator.normal(180, 12, 300)]).clip(0, 255).astype(np.float32)

    def inside(level: float) -> float:
        low, high = values[values <= level], values[values > level]
        return sum(len(part) * part.var() for part in (low, high) if len(part))

    level = otsu_level(values)
    assert 60 < level < 150
    assert inside(level) <= min(inside(other) for other in range(1, 255)) * 1.001


def test_paper_is_what_remains_without_narrow_bright_things() -> None:
    shade = np.broadcast_to(np.linspace(20, 90, 128, dtype=np.float32), (128, 128)).copy()
    with_stroke = shade.copy()
    with_stroke[20:110, 60:72] = 250
    paper = paper_under(with_stroke)
    rise = 70 / 127  # of the shadow, per pixel
    assert (paper <= with_stroke).all()  # an opening never brightens,
    assert (paper - shade).max() < 13 * rise  # under the stroke it bridges from one side to the other,
    assert (shade - paper).max() < 22 * rise  # and elsewhere it takes away at most the rise over half of its square
    assert np.array_equal(paper_under(paper), paper)


def test_which_side_the_ink_is_on() -> None:
    paper = np.full((50, 50), 100, np.float32)
    paper[10:20, 10:20] = 40
    assert ink_is_dark(paper)
    assert not ink_is_dark(200 - paper)


@pytest.mark.parametrize("side", [40, 80, 150, 336])
def test_the_side_of_the_ink_is_found_for_small_digits_in_shadow_too(side: int, drawings: list[Floats]) -> None:
    for ink in drawings[::3]:
        full = np.zeros((400, 400))
        full[30 : 30 + side, 30 : 30 + side] = (
            np.asarray(Image.fromarray((ink * 255).clip(0, 255).astype(np.uint8)).resize((side, side))) / 255
        )
        shadow = np.linspace(0, 90, 400)
        assert ink_is_dark(np.float32(230 - shadow - 140 * full))
        assert not ink_is_dark(np.float32(25 + shadow + 140 * full))


def test_contrast_and_removed_pieces_are_told() -> None:
    pixels = np.full((120, 120), 50, np.float32)
    pixels[40:80, 55:63] = 200
    pixels[10, 10] = 200
    found = find_ink(pixels)
    assert found.contrast == pytest.approx(150)
    assert found.removed == 1
    assert found.ink[60, 59] == 255
    assert found.ink[10, 10] == 0
