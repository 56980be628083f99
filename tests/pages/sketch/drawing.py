"""Drawings, networks and what a page says, for the tests of Sketch."""

import io
from typing import Any

from PIL import Image, ImageDraw
from streamlit.testing.v1 import AppTest

from dashboard.sketch_input import Drawing
from resnet_core.config import RunConfig
from resnet_core.data import DATASETS
from resnet_core.models import build_model
from resnet_core.runs import Store, save_checkpoint

SEVEN = ((75, 65), (205, 65), (125, 235))


def picture(*strokes: tuple[tuple[int, int], ...], ink: Any = "white", ground: Any = "black", width: int = 20) -> Image.Image:
    image = Image.new("RGB", (280, 280), ground)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, fill=ink, width=width, joint="curve")
    return image


def as_file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


DRAWN = Drawing(strokes=[{}], png=as_file(picture(SEVEN)))


def add_run(model: str, dataset: str, name: str) -> str:
    """A run with the weights that its seed gives."""
    config = RunConfig.from_flat({"model": model, "dataset": dataset})
    spec = DATASETS[dataset].spec
    run = Store().create(config, "cpu", name=name)
    save_checkpoint(
        run.folder / "last.safetensors", build_model(config.model, spec, seed=0).state_dict(), config, spec, {"epoch": 1, "step": 1}
    )
    return run.run


def said(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.subheader, app.markdown, app.caption, app.error, app.info) for element in kind)


def charts(app: AppTest) -> int:
    """Of answers: those of what the drawing would be without a part of it are not counted."""
    return sum('"part"' not in chart.proto.spec for kind in ("vega_lite_chart", "arrow_vega_lite_chart") for chart in app.get(kind))


def fabric(*strokes: tuple[tuple[int, int], ...]) -> list[dict[str, Any]]:
    """As the canvas sends them."""
    return [
        {"type": "Path", "strokeWidth": 20, "path": [["M", *points[0]], *(["L", *point] for point in points[1:])]} for points in strokes
    ]
