"""A photo of a handwritten digit, in many files and forms, and the words of its preparation."""

import re

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.components.sketch.journey import STEPS, step_numbers
from dashboard.i18n import sentences
from resnet_core.data.photo import prepare_photo
from resnet_core.data.sketch import prepare_sketch
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.sketch.drawing import SEVEN, as_file, charts, picture, said


def uploaded(open_page: OpenPage, language: str, name: str, content: bytes) -> AppTest:
    app = open_page("sketch", language=language)
    app.segmented_control(key="sketch_source").set_value("photo").run()
    app.file_uploader(key="sketch_upload").set_value((name, content, "image/png")).run()
    assert_healthy(app)
    return app


BLUE, PAPER = (40, 50, 110), (214, 208, 196)
PHOTO = picture(SEVEN, ink=BLUE, ground=PAPER)
ROTATED = Image.Exif()
ROTATED[0x0112] = 6  # shown a quarter turn to the right of how it is stored
GOOD = {
    "dark-on-light.png": as_file(PHOTO),
    "light-on-dark.png": as_file(picture(SEVEN, ink=PAPER, ground=BLUE)),
    "cmyk.jpg": as_file(PHOTO.convert("CMYK"), "JPEG", quality=95),
    "rotated.jpg": as_file(PHOTO.rotate(90, expand=True), "JPEG", quality=95, exif=ROTATED),
    "palette.gif": as_file(PHOTO, "GIF"),
}


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("name", GOOD)
def test_a_photo_is_prepared_like_the_drawing(open_page: OpenPage, language: str, name: str) -> None:
    app = uploaded(open_page, language, name, GOOD[name])
    assert not app.error
    assert charts(app) == 1
    for step in ("photo", "ink", "cropped", "scaled", "centred"):
        assert sentences(language)[STEPS[step].reason] in said(app)
    image = prepare_photo(GOOD[name], name).image.astype(float)
    assert np.corrcoef(image.ravel(), prepare_sketch(np.asarray(picture(SEVEN))).image.ravel())[0, 1] > 0.95


BAD = {
    "text.png": (b"Dear reader", "image_unreadable"),
    "empty.png": (b"", "image_unreadable"),
    "cut.png": (as_file(PHOTO)[:200], "image_unreadable"),
    "bomb.png": (as_file(Image.new("1", (20_000, 20_000))), "image_too_large"),
    "tiny.png": (as_file(Image.new("L", (1, 1), 255)), "no_ink"),
    "blank.png": (as_file(Image.new("RGB", (200, 200), "white")), "no_ink"),
    "black.png": (as_file(Image.new("RGB", (200, 200), "black")), "no_ink"),
}


@pytest.mark.usefixtures("networks")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_is_one_sentence(open_page: OpenPage, language: str, name: str) -> None:
    content, code = BAD[name]
    app = uploaded(open_page, language, name, content)
    sentence = sentences(language)[f"error.{code}"].split("{path}")
    assert len(app.error) == 1
    assert app.error[0].value.startswith(sentence[0] + name)
    assert app.subheader[0].value == sentences(language)["sketch.waiting_photo"]
    assert charts(app) == 0


def test_moves_are_said_in_words() -> None:
    assert step_numbers("centred", {"right": 0, "down": 0}) == "not moved"
    assert step_numbers("centred", {"right": -2, "down": 1}) == "moved 2 px left and 1 px down"
    assert step_numbers("centred", {"right": 1, "down": -3}) == "moved 1 px right and 3 px up"


def test_every_step_of_a_photo_and_of_a_drawing_has_its_words() -> None:
    for sketch in (prepare_photo(GOOD["cmyk.jpg"]), prepare_sketch(np.asarray(picture(SEVEN)))):
        for step in sketch.steps:
            assert step.name in STEPS
            assert re.search(r"\d|not moved", step_numbers(step.name, step.values))
