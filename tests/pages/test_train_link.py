"""The form of the page Train in the link: what one session chose, another one finds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.training.link import SETTINGS
from dashboard.i18n import sentences
from resnet_core.config import PARTS, RunConfig
from resnet_core.presets import PRESETS
from resnet_core.runs.opening import SHIPPED
from tests.pages.conftest import OpenPage, assert_healthy
from tests.pages.test_train import started  # noqa: F401 - a fixture

OTHER = {
    "milestones": "0.25, 0.9",
    "removed_blocks": "stages.0.1",
    "start_from": "pretrained",
}  # settings that are text: none of the defaults


@pytest.fixture(autouse=True)
def _own_runs(own_runs: Path) -> None:
    """Each test has a store of its own."""


def link_of(app: AppTest) -> dict[str, Any]:
    """A single value as a list too, which AppTest does not always give."""
    own = {name: value for name, value in app.query_params.items() if name in ("data", "networks", "recipe", "set")}
    return {name: value if isinstance(value, list) else [value] for name, value in own.items()}


def form_of(app: AppTest) -> dict[str, Any]:
    kinds = (app.number_input, app.selectbox, app.toggle, app.text_input, app.multiselect)
    return {widget.key: widget.value for kind in kinds for widget in kind if widget.key and widget.key.startswith("train_")}


def test_an_untouched_form_leaves_the_link_as_it_is(open_page: OpenPage) -> None:
    app = open_page("train")
    assert_healthy(app)
    assert link_of(app) == {}


@pytest.mark.parametrize("recipe", ["defaults", *PRESETS])
def test_what_is_chosen_stands_in_the_link_and_comes_back(
    open_page: OpenPage,
    started: list[list[RunConfig]],  # noqa: F811
    recipe: str,
) -> None:
    app = open_page("train")
    app.selectbox(key="train_preset").set_value(recipe).run()
    app.number_input(key="train_epochs").set_value(7)
    app.number_input(key="train_clip_norm").set_value(0.5)
    app.toggle(key="train_flip").set_value(recipe == "defaults")
    app.text_input(key="train_milestones").set_value("0.3, 0.6")
    app.multiselect(key="train_models").set_value(["plain8", "resnet8"]).run()
    assert_healthy(app)
    link = link_of(app)
    assert link["networks"] == ["plain8,resnet8"]
    assert link.get("recipe") == (None if recipe == "defaults" else [recipe])
    assert {"epochs=7", "clip_norm=0.5"} < set(link["set"])
    again = open_page("train", **link)
    assert form_of(again) == form_of(app)
    assert link_of(again) == link
    for page in (app, again):
        page.selectbox(key="train_start_from").set_value("")
        if not page.button(key="train_start").disabled:
            page.button(key="train_start").click().run()
    assert len(started) == (0 if recipe == "notes-finetune" else 2), "which freezes more epochs than there are now"
    assert started[:1] == started[1:]


def test_every_single_setting_goes_through_the_link(open_page: OpenPage) -> None:
    """Each with a value that is not its default: none is forgotten when one is added."""
    wished: dict[str, Any] = {}
    for kind in PARTS.values():
        for name, rule in kind.settings().items():
            usual = getattr(kind(), name)
            if name not in SETTINGS or name == "device":
                continue
            if rule.choices is not None:
                wished[name] = next(choice for choice in rule.choices if choice != usual)
            elif isinstance(usual, bool):
                wished[name] = not usual
            else:
                wished[name] = OTHER.get(name, rule.maximum if usual == rule.minimum else rule.minimum)
    assert None not in wished.values()
    app = open_page("train", set=[f"{name}={value}" for name, value in wished.items()])
    assert not app.exception
    assert not app.toast
    values = form_of(app)
    for name, value in wished.items():
        assert values[f"train_{name}"] == value, name
    assert {text.partition("=")[0] for text in link_of(app)["set"]} == set(wished)


@pytest.mark.parametrize(
    ("parameters", "code", "value"),
    [
        ({"data": "mnits"}, "unknown_name", "mnits"),
        ({"recipe": "fast-gpu"}, "unknown_name", "fast-gpu"),
        ({"set": ["epoch=3"]}, "unknown_setting", "epoch"),
        ({"set": ["epochs=0"]}, "out_of_range", 0),
        ({"set": ["epochs=many"]}, "wrong_type", "many"),
        ({"set": ["optimizer=lion"]}, "not_a_choice", "lion"),
        ({"set": ["start_from=/etc/passwd"]}, "link_opens_no_files", "/etc/passwd"),
        ({"set": ["start_from=resnet2-mnist"]}, "checkpoint_missing", "resnet2-mnist"),
        ({"set": ["device=tpu"]}, "device_missing", "tpu"),
    ],
)
def test_what_cannot_be_is_said_and_left_out(
    open_page: OpenPage, language: str, parameters: dict[str, Any], code: str, value: object
) -> None:
    usual = form_of(open_page("train", language=language))
    app = open_page("train", language=language, networks="resnet8", **parameters)
    assert not app.exception
    (said,) = [toast.value for toast in app.toast]
    assert repr(value) in said
    assert said.startswith(sentences(language)[f"error.{code}"].partition("{")[0])
    assert form_of(app) == {**usual, "train_models": ["resnet8"]}
    assert link_of(app) == {"networks": ["resnet8"]}


def test_nothing_of_a_link_stands_for_more_than_its_letters(open_page: OpenPage) -> None:
    app = open_page("train", set=["![x](https://example.org/x.png)=1", *(f"no{number}=1" for number in range(50)), "epochs=" + "9" * 500])
    assert_healthy(app)
    (said,) = [toast.value for toast in app.toast]
    assert "![x]\\(https" in said
    assert len(said) < 3000
    assert link_of(app) == {}


def test_a_recipe_is_followed_where_its_data_set_is_unknown(open_page: OpenPage) -> None:
    app = open_page("train", data="mnits", recipe="notes-mnist-adam", set=["nonsense", "seed=4"])
    assert_healthy(app)
    (said,) = [toast.value for toast in app.toast]
    assert "mnits" in said
    assert "nonsense" in said
    assert (form_of(app)["train_optimizer"], form_of(app)["train_epochs"], form_of(app)["train_seed"]) == ("adam", 15, 4)
    assert link_of(app) == {"networks": ["resnet18"], "recipe": ["notes-mnist-adam"], "set": ["seed=4"]}


def test_an_emptied_list_comes_back_empty(open_page: OpenPage) -> None:
    app = open_page("train")
    app.text_input(key="train_milestones").set_value("").run()
    assert link_of(app) == {"set": ["milestones="]}
    again = open_page("train", **link_of(app))
    assert not again.toast
    assert form_of(again)["train_milestones"] == ""


def test_folders_and_files_of_a_machine_stand_in_no_link(open_page: OpenPage, tmp_path: Path) -> None:
    app = open_page("train")
    app.selectbox(key="train_start_from").set_value("resnet20-mnist").run()
    assert link_of(app) == {"set": ["start_from=resnet20-mnist"]}
    weights = tmp_path / "weights.safetensors"
    shutil.copy(SHIPPED / "resnet20-mnist.safetensors", weights)
    app.selectbox(key="train_dataset").set_value("image-folder").run()
    app.text_input(key="train_folder").set_value(str(tmp_path)).run()
    app.session_state["train_start_from"] = str(weights)
    app.main.children.clear()  # AppTest would look for what was typed among the choices of the last run
    app.run()
    assert_healthy(app)
    assert form_of(app)["train_start_from"] == str(weights)
    assert link_of(app) == {"data": ["image-folder"], "set": ["start_from=(file)"]}
    again = open_page("train", **link_of(app))
    (said,) = [toast.value for toast in again.toast]
    assert said == sentences("en")["error.link_without_file"]


def test_what_another_page_filled_in_is_not_undone_by_a_link(open_page: OpenPage) -> None:
    """The link of the page one comes from has no parameters of this form; what is filled in stands in the link afterwards."""
    app = open_page("home")
    app.session_state["train_epochs"] = 9
    app.switch_page("pages/train.py").run()
    assert app.number_input(key="train_epochs").value == 9
    app.query_params.update(set="epochs=4")  # an older address, by the button Back
    app.run()
    assert app.number_input(key="train_epochs").value == 9
    assert link_of(app) == {"set": ["epochs=9"]}
