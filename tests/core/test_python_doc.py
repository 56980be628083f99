"""docs/python.md: every piece runs, one after the other, and says what is true."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_core.attribution import METHODS
from resnet_core.inspection import measure_gradients
from resnet_core.models import block_places

PAGE = Path(__file__).parents[2] / "docs/python.md"
PIECES = re.findall(r"## (.+?)\n.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


Said = tuple[dict[str, Any], dict[str, list[str]]]


@pytest.fixture(scope="module")
def said() -> Said:
    """The names that the pieces leave behind, and the lines that each printed."""
    names: dict[str, Any] = {"__name__": "python_doc"}
    lines: dict[str, list[str]] = {}
    for title, piece in PIECES:
        lines[title] = []
        names["print"] = lambda line, to=lines[title]: to.append(line)
        exec(compile(piece, f"{PAGE.name}: {title}", "exec"), names)
    return names, lines


def test_all_pieces_run(said: Said) -> None:
    names, lines = said
    assert len(PIECES) == 6
    assert PAGE.read_text(encoding="utf-8").count("```python") == 6
    inside = lines["Look inside a network"]
    assert [line.split()[0] for line in inside] == [place.name for place in block_places(names["model"])]
    assert len(lines["Gradients, and what each path hands back"]) == 3 + 9
    assert all(0 < float(line.rsplit(maxsplit=1)[1].rstrip("%")) < 100 for line in lines["Gradients, and what each path hands back"][3:])
    *maps, methods = lines["What speaks for a class"]
    predicted = names["model"](names["images"][:8]).argmax(1).tolist()
    assert [int(line.split(":")[0]) for line in maps] == predicted
    assert methods == ", ".join(METHODS)
    (epoch,) = lines["Train"]
    assert float(epoch.split()[-1].rstrip("%")) > 40  # chance: 10


def test_the_chinese_page_has_the_same_pieces() -> None:
    chinese = PAGE.with_suffix(".zh.md").read_text(encoding="utf-8")
    assert re.findall(r"```python\n(.*?)```", chinese, flags=re.DOTALL) == [piece for _, piece in PIECES]


def test_fitted_weights_compute_what_the_original_computes(said: Said) -> None:
    names, _ = said
    theirs, opened, images = names["theirs"].eval(), names["opened"].eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(opened(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_blocks_of_a_network_of_one_s_own(said: Said) -> None:
    names, lines = said
    mine, images = names["mine"], names["images"]
    assert [(place.name, place.stage, place.block) for place in block_places(mine)] == [
        ("body.0", 1, 1),
        ("body.1", 1, 2),
        ("body.2", 1, 3),
    ]
    with torch.no_grad():
        x = mine.first(images)
        for line, block in zip(lines["Your own network"], mine.body, strict=True):
            residual = block.residual(x)
            ratio = float((residual.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).mean())
            assert float(line.split()[-1]) == pytest.approx(ratio, abs=0.006)
            x = block(x)
    report = measure_gradients(mine, images, names["labels"])
    assert len(report.blocks) == 3
    assert all(block.sum_error < 1e-5 for block in report.blocks)
