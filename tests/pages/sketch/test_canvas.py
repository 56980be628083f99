"""What is made of what the drawable canvas sends, its old messages included."""

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dashboard import sketch_input
from dashboard.sketch_input import Drawing
from tests.pages.sketch.drawing import SEVEN, as_file, picture


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Drawing]:
    """`canvas(strokes, background)`: what show_canvas makes of what the component sends; None: it sent nothing yet."""
    monkeypatch.setattr(sketch_input.st, "session_state", {})

    def show(strokes: list[dict[str, Any]] | None, background: str | None = None) -> Drawing:
        def st_canvas(**asked: Any) -> SimpleNamespace:
            sketch_input.st.session_state[asked["key"]] = {}
            raw = {"objects": asked["initial_drawing"]["objects"] if strokes is None else strokes}
            raw["background"] = background or asked["background_color"]
            return SimpleNamespace(json_data=raw, image_bytes=None if strokes is None else as_file(picture(SEVEN)))

        module = ModuleType("streamlit_drawable_canvas")
        module.st_canvas = st_canvas  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "streamlit_drawable_canvas", module)
        return sketch_input.show_canvas(20)

    return show


def test_a_canvas_is_empty_until_it_sends_strokes(canvas: Callable[..., Drawing]) -> None:
    assert canvas(None).pixels is None
    drawn = canvas([{"type": "Path"}])
    assert drawn.pixels is not None
    assert drawn.pixels.shape == (280, 280, 4)
    assert canvas([]).pixels is None  # cleared by the component's own button: a black picture, no strokes


def test_what_a_cleared_canvas_sent_before_is_not_shown(canvas: Callable[..., Drawing]) -> None:
    before = canvas([{"type": "Path"}])
    sketch_input.clear_canvas()
    assert canvas([{"type": "Path"}], background=before.background).pixels is None
    assert canvas([]).pixels is None
    assert canvas([{"type": "Path"}]).pixels is not None


def test_undo_gives_the_canvas_the_other_strokes_under_a_new_name_each_time(canvas: Callable[..., Drawing]) -> None:
    canvas([{"n": 1}, {"n": 2}])
    sketch_input.undo_stroke()
    once = canvas(None)
    assert once.given == [{"n": 1}]
    canvas([{"n": 1}, {"n": 3}])
    sketch_input.undo_stroke()
    again = canvas(None)
    assert again.given == once.given
    assert again.background != once.background  # else the component would take it for the drawing it had


def test_a_drawing_comes_back_with_its_page(canvas: Callable[..., Drawing]) -> None:
    canvas([{"n": 1}])
    del sketch_input.st.session_state[sketch_input.KEY]  # as a visit to another page does
    back = canvas(None)
    assert back.given == [{"n": 1}]
    assert back.pixels is not None


def test_strokes_are_read_with_their_curves() -> None:
    curve = {"type": "path", "strokeWidth": 12, "path": [["M", 10, 20], ["Q", 20, 20, 20, 30], ["L", 20, 50]]}
    (line,) = Drawing(strokes=[curve]).lines
    assert line.width == 12
    assert line.points[0].tolist() == [10, 20]
    assert line.points[2].tolist() == [17.5, 22.5]  # halfway along the curve
    assert line.points[-1].tolist() == [20, 50]
    assert Drawing(strokes=[curve, {"type": "rect"}]).lines == ()
