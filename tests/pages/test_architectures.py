"""The Architectures page: drawn from the network itself, every panel, what cannot be, and the links that lead in and out."""

import json
import subprocess
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.architectures.described import Subject, described
from dashboard.i18n import sentences
from resnet_core.config import ModelConfig
from resnet_core.models import ModelDescription, count_parameters, describe, original_spec
from resnet_core.runs import find_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "architectures"


def drawing(app: AppTest, key: str) -> dict[str, Any]:
    """What the browser is given to draw."""
    (found,) = [element.proto for element in app.get("bidi_component") if element.proto.id.endswith(f"-{key}")]
    return json.loads(found.json)  # type: ignore[no-any-return]


def chosen(drawn: dict[str, Any]) -> list[str]:
    return [item["value"] for item in drawn["items"] if item["kind"] == "box" and "chosen" in item["mark"]]


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.error, *app.warning))


def said(language: str, key: str, **values: object) -> str:
    return sentences(language)[f"architectures.{key}"].format(**values)


def test_a_network_is_drawn_in_both_languages(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, model="resnet152")
    assert_healthy(app)
    words = [item["text"] for item in drawing(app, "diagram_first")["items"] if item["kind"] == "text"]
    assert said(language, "stage", number=4) in words
    assert said(language, "blocks_range", first=2, last=36) in words
    assert drawing(app, "diagram_first")["width"] < 730
    assert "**60,192,808**" in texts(app)
    assert said(language, "shortcut_projection") in texts(app)  # the first block of a stage is open


def test_a_link_chooses_network_images_and_block(open_page: OpenPage) -> None:
    app = open_page(PAGE, model="resnet20", images="mnist-mini", block="stages.2.1", beside="plain20")
    assert_healthy(app)
    assert (app.selectbox(key="architecture_model").value, app.selectbox(key="architecture_beside").value) == ("resnet20", "plain20")
    assert chosen(drawing(app, "diagram_0")) == chosen(drawing(app, "diagram_1")) == ["stages.2.1"]
    differs = [item["value"] for item in drawing(app, "diagram_1")["items"] if "differs" in item.get("mark", "").split()]
    assert len(differs) == 5  # every block of the plain twin lacks its shortcut: nine blocks in five boxes
    assert "9" in next(caption.value for caption in app.caption if "Plain-20" in caption.value)
    assert "269,434" in texts(app)  # one channel instead of three
    assert app.query_params["model"] == "resnet20"
    app.selectbox(key="architecture_model").set_value("resnet18").run()
    assert app.query_params["model"] == "resnet18"
    assert "11,172,810" in texts(app)


@pytest.mark.parametrize("panel", ["table", "surgery", "blocks", "families"])
def test_each_panel_in_both_languages(open_page: OpenPage, language: str, panel: str) -> None:
    app = open_page(PAGE, language=language, panel=panel)
    assert_healthy(app)
    read = {"table": "table_read", "surgery": "reason_conv1", "blocks": "orders_read", "families": "panel_families"}[panel]
    everything = texts(app) + " ".join(str(control.options) for control in app.segmented_control)
    assert said(language, read) in everything


def test_the_five_networks_of_the_paper_beside_each_other(open_page: OpenPage) -> None:
    app = open_page(PAGE, panel="table")
    app.toggle(key="architecture_family").set_value(True).run()
    assert_healthy(app)
    table = app.table[0].value
    assert list(table["ResNet-50"])[1:5] == [
        "[1×1, 64; 3×3, 64; 1×1, 256] × 3",
        "[1×1, 128; 3×3, 128; 1×1, 512] × 4",
        "[1×1, 256; 3×3, 256; 1×1, 1024] × 6",
        "[1×1, 512; 3×3, 512; 1×1, 2048] × 3",
    ]
    assert list(table.iloc[:, 0])[:5] == ["56×56", "56×56", "28×28", "14×14", "7×7"]
    assert list(table.iloc[-2])[1:] == ["1.8×10⁹", "3.7×10⁹", "4.1×10⁹", "7.8×10⁹", "11.5×10⁹"]


def test_block_costs_follow_the_number_of_channels(open_page: OpenPage) -> None:
    app = open_page(PAGE, panel="blocks")
    app.number_input(key="block_channels").set_value(100).run()
    assert_healthy(app)
    assert [metric.value for metric in app.metric if "," in metric.value] == ["180,400", "10,925"]  # 18 C^2 + 4 C; 2 C^2/4 + 9 C^2/16 + 4 C


def test_the_surgery_is_what_the_two_networks_do(open_page: OpenPage) -> None:
    app = open_page(PAGE, panel="surgery", model="resnet20")
    assert_healthy(app)
    sides = {
        key: [item["text"] for item in drawing(app, f"surgery_{key}")["items"] if "×" in item.get("text", "")]
        for key in ("unchanged", "changed")
    }
    assert sides["unchanged"] == ["28×28", "14×14", "7×7", "4×4", "2×2", "1×1"]
    assert sides["changed"] == ["28×28", "14×14", "7×7", "4×4", "1×1"]
    charts = [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
    shapes = [[title["text"].partition("<br>")[2] for title in chart["layout"]["annotations"]] for chart in charts]
    assert shapes == [["28×28", "7×7", "7×7", "4×4", "2×2", "1×1"], ["28×28", "28×28", "28×28", "14×14", "7×7", "4×4"]]


# -- what cannot be --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"model": "resnt50"}, "did you mean"),
        ({"model": "resnet21"}, "6n + 2"),
        ({"model": "resnet18", "beside": "plain19"}, "6n + 2"),
        ({"model": "resnet18", "side": "large"}, "between 1 and 4096"),
        ({"model": "inception_v3", "side": "20"}, "at least"),
        ({"model": "vit_b_16", "side": "225"}, "multiple"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(open_page: OpenPage, parameters: dict[str, str], sentence: str) -> None:
    app = open_page(PAGE, **parameters)
    assert_healthy(app)
    (error,) = app.error
    assert sentence in error.value


# -- other networks, and ways in and out -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_networks_of_torchvision_are_described_in_processes_of_their_own(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One each, at the same time, and none again for what is known."""
    started: list[str] = []

    class Counted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: Any) -> None:
            started.append(command[4])
            super().__init__(command, **options)

    monkeypatch.setattr("dashboard.components.architectures.described.subprocess.Popen", Counted)
    app = open_page(PAGE, model="vgg11", beside="alexnet", images="cifar10")
    assert_healthy(app)
    app.run()
    assert_healthy(app)
    assert sorted(started) == ["alexnet", "vgg11"]
    for model in ("vgg11", "alexnet"):
        subject = Subject(config=ModelConfig(model=model), images="cifar10")
        found = described(subject)
        assert found == describe(subject.config, subject.spec)
        assert f"**{found.parameters:,}**" in texts(app)


def test_a_description_survives_its_json() -> None:
    from resnet_core.commands.output import plain

    found = describe(ModelConfig(model="resnet14"), original_spec("resnet14"))
    assert ModelDescription.from_dict(json.loads(json.dumps(plain(found)))) == found


def test_from_a_trained_block_to_its_layers_and_back(open_page: OpenPage) -> None:
    app = open_page("residual-blocks", run="resnet20-mnist", block="stages.1.0")
    app.button(key="diagram_link").click().run()
    assert_healthy(app)
    assert app.title[0].value == sentences("en")["page.architectures.title"]
    assert (app.selectbox(key="architecture_model").value, app.selectbox(key="architecture_side").value) == ("resnet20", "28")
    assert app.selectbox(key="architecture_images").value == "mnist-mini"
    parameters = count_parameters(ModelConfig(model="resnet20"), find_checkpoint("resnet20-mnist").spec)
    assert f"{parameters:,}" in " ".join(markdown.value for markdown in app.markdown)
    assert chosen(drawing(app, "diagram_first")) == ["stages.1.0"]
    app.button(key="diagram_block_link").click().run()
    assert_healthy(app)
    assert app.title[0].value == sentences("en")["page.residual_blocks.title"]
    assert app.session_state["selected_block"] == "stages.1.0"


def test_train_this_opens_the_form_with_the_network_and_its_settings(open_page: OpenPage) -> None:
    app = open_page(PAGE, model="resnet14")
    app.selectbox(key="architecture_version").set_value("v2").run()
    app.button(key="architecture_train").click().run()
    assert_healthy(app)
    assert app.title[0].value == sentences("en")["page.train.title"]
    assert app.multiselect(key="train_models").value == ["resnet14"]
    assert app.session_state["train_version"] == "v2"
