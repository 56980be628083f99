"""Drawings of networks: every block and every shape is there, nothing lies over anything else, differences are the real ones."""

import re
from dataclasses import fields
from itertools import pairwise

import pytest

from dashboard.charts.block_diagram import opened
from dashboard.charts.diagram import DiagramWords, Drawing, differing, grouped, overview, shape_text, short_number, text_width
from dashboard.charts.shrinking import resolutions, shrinking
from resnet_core.config import ModelConfig
from resnet_core.models import ModelDescription, describe, original_spec

PLACEHOLDERS = {"stage": "Stage {number}", "block": "Block {number}", "blocks": "Blocks {first}-{last}", "alike": "{count} alike",
                "parameters": "{value} p", "macs": "{value} m", "sees": "{value} px", "open": "{name}"}  # fmt: skip
WORDS = DiagramWords(**{field.name: PLACEHOLDERS.get(field.name, field.name) for field in fields(DiagramWords)})


def network(model: str, **changes: object) -> ModelDescription:
    return describe(ModelConfig(model=model, **changes), original_spec(model))  # type: ignore[arg-type]


def draw(found: ModelDescription, *, fold: bool = True, chosen: str | None = None, **changes: object) -> Drawing:
    return overview(found.parts, found.input_shape, WORDS, fold=fold, chosen=chosen, **changes)  # type: ignore[arg-type]


def boxes(drawing: Drawing, mark: str = "") -> list[dict[str, float]]:
    return [item for item in drawing.items if item["kind"] == "box" and "behind" not in item["mark"] and mark in item["mark"]]


def texts(drawing: Drawing) -> list[str]:
    return [item["text"] for item in drawing.items if item["kind"] == "text"]


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("model", ["resnet18", "resnet152", "plain56"])
def test_every_block_is_a_box_and_no_two_touch(model: str, fold: bool) -> None:
    found = network(model)
    drawing = draw(found, fold=fold)
    drawn = boxes(drawing)
    assert len(drawn) == sum(len(grouped(part, fold=fold)) for part in found.parts)
    if not fold:
        assert [box["value"] for box in drawn] == [block.name for part in found.parts for block in part.blocks]
    for one in drawn:
        assert 0 <= one["x"] <= one["x"] + one["w"] <= drawing.width
        assert 0 <= one["y"] <= one["y"] + one["h"] <= drawing.height
        for other in drawn:
            apart_x = one["x"] + one["w"] < other["x"] or other["x"] + other["w"] < one["x"]
            assert one is other or apart_x or one["y"] + one["h"] < other["y"] or other["y"] + other["h"] < one["y"]


def test_folded_resnet_152_is_ten_boxes_that_count_all_blocks() -> None:
    """A first block and all others of each of four stages, the stem and the head; 50 blocks in a readable height."""
    found = network("resnet152")
    drawing = draw(found)
    groups = [group for part in found.parts for group in grouped(part, fold=True)]
    assert len(boxes(drawing)) == len(groups) == 10
    assert sum(len(group.blocks) for group in groups) == 50 + 2
    assert drawing.height < 700
    assert "Blocks 2-36" in texts(drawing)
    assert texts(drawing).count("×36") == 1


def test_on_every_edge_stands_the_shape_that_passes() -> None:
    found = network("resnet18")
    shapes = [item for item in texts(draw(found, fold=False)) if re.fullmatch(r"\d+(×\d+)+|1000", item)]
    expected = [shape_text(block.output_shape) for part in found.parts for block in part.blocks]
    assert shapes == expected
    layers = opened(found.parts[2].blocks[0], found.layers, WORDS)
    assert [text for text in texts(layers) if re.fullmatch(r"\d+×\d+×\d+", text)].count(
        "128×28×28"
    ) == 8  # behind seven layers, and of the shortcut


@pytest.mark.parametrize(("option", "kind"), [("A", "padding"), ("B", "projection")])
def test_the_shortcut_is_an_arc_to_the_add_with_its_own_layers_on_it(option: str, kind: str) -> None:
    found = network("resnet20", option=option)
    changing, staying = found.parts[2].blocks[:2]
    for block, name in ((changing, kind), (staying, "identity")):
        drawing = opened(block, found.layers, WORDS)
        arcs = [item for item in drawing.items if item["kind"] == "path" and item["mark"].startswith("shortcut")]
        assert [arc["mark"] for arc in arcs] == [f"shortcut {name}"]
        adds = [item for item in drawing.items if item["kind"] == "node" and item["mark"] == "add"]
        assert len(adds) == 1
        assert f" {adds[0]['y']}H" in arcs[0]["d"]  # it ends at the add's height
        assert len(boxes(drawing, "onshortcut")) == len(block.aside) == {"padding": 1, "projection": 2, "identity": 0}[name]
        assert len(boxes(drawing)) == len(block.steps) - 1  # the add is a node
    plain = network("plain20")
    drawing = opened(plain.parts[2].blocks[0], plain.layers, WORDS)
    assert not [item for item in drawing.items if item["kind"] == "path" and "shortcut" in item["mark"]]


def test_layers_stand_below_each_other_in_the_order_of_the_pass() -> None:
    found = network("resnet50")
    drawing = opened(found.parts[1].blocks[1], found.layers, WORDS)
    rows = [box["y"] for box in boxes(drawing)]
    assert all(above + 30 < below for above, below in pairwise(rows))
    assert rows[-1] < drawing.height


def test_texts_fit_their_boxes() -> None:
    drawing = draw(network("resnet152"), fold=False)
    for item in drawing.items:
        if item["kind"] == "text" and item["anchor"] == "middle":
            assert text_width(item["text"], item["size"]) <= 104, item["text"]


def test_differences_are_the_blocks_that_differ() -> None:
    """Option B against A differs where the shape changes; a deeper network has blocks that the other lacks."""
    a, b = network("resnet20", option="A"), network("resnet20", option="B")
    assert differing(a.parts, b.parts) == differing(b.parts, a.parts) == {"stages.1.0", "stages.2.0"}
    assert differing(a.parts, a.parts) == frozenset()
    deeper = network("resnet32")
    assert differing(deeper.parts, a.parts) == {f"stages.{stage}.{block}" for stage in range(3) for block in (3, 4)}
    marked = draw(a, fold=False, differs=differing(a.parts, b.parts))
    assert [box["value"] for box in boxes(marked, "differs")] == ["stages.1.0", "stages.2.0"]


def test_a_picture_of_the_resolutions() -> None:
    found = resolutions(network("resnet18").layers, (3, 224, 224))
    assert [one.side for one in found] == [224, 112, 56, 28, 14, 7, 1]
    assert [one.by for one in found[1:4]] == ["stem.conv", "stem.pool", "stages.1.0.residual.conv1"]
    drawing = shrinking(found, largest=224, words_image="image", words_channels="{count}")
    sides = [item["w"] for item in drawing.items if item["kind"] == "box"]
    assert sides[0] / sides[1] == sides[1] / sides[2] == 2
    assert "2.1 conv1" in texts(drawing)


@pytest.mark.parametrize(
    ("model", "sides"),
    [
        ("efficientnet_b0", [224, 112, 56, 28, 14, 7, 1]),
        ("mobilenet_v3_small", [224, 112, 56, 28, 14, 7, 1]),
        ("swin_t", [224, 56, 28, 14, 7, 1]),
    ],
)
def test_weights_of_channels_are_no_resolution(model: str, sides: list[int]) -> None:
    """Squeeze and excitation pools to 1 x 1 inside of a block, and goes on with the large map."""
    assert [one.side for one in resolutions(network(model).layers, (3, 224, 224))] == sides


@pytest.mark.parametrize(
    ("value", "text"), [(640, "640"), (36_864, "36.9 k"), (11_689_512, "11.7 M"), (1_814_073_344, "1.8 G"), (231_211_008, "231 M")]
)
def test_short_numbers(value: int, text: str) -> None:
    assert short_number(value) == text
