"""The Compare page: both networks in numbers, the matrix and its images, maps side by side, further panels; in both languages."""

import base64
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.components.compare import data as compare_data
from dashboard.components.compare.exports import as_npz, as_png
from dashboard.components.compare.maps import Request, map_of
from dashboard.components.compare.pair import Pair
from dashboard.i18n import sentences
from dashboard.state import ImageChoice
from resnet_core.attribution import METHODS, assess, attribute, check_randomised, influence, over_images
from resnet_core.comparison import PairAnswers, answer
from resnet_core.config import DataConfig, ModelConfig, RunConfig
from resnet_core.data import DataSpec, load_spec, load_split, some_images
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs import Store, find_checkpoint, load_model, save_checkpoint
from resnet_core.statistics import wilson_interval
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "compare"
SPEC = load_spec(DataConfig())
FEW = 40


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_data, "AT_ONCE", FEW)
    monkeypatch.setattr("dashboard.components.compare.representation.AT_ONCE", FEW)


def save(folder: Path, name: str, model: str, spec: DataSpec = SPEC, **changes: object) -> None:
    config = RunConfig.from_flat({"model": model, "width": 0.5} | changes)
    save_checkpoint(
        folder / f"{name}.safetensors",
        build_model(config.model, spec, seed=config.train.seed + 1).state_dict(),
        config,
        spec,
        {"epoch": 3, "step": 9},
    )


@pytest.fixture
def pair(shipped: Path) -> Path:
    save(shipped, "resnet8-tiny", "resnet8")
    save(shipped, "plain8-tiny", "plain8")
    return shipped


def texts(app: AppTest) -> str:
    return " ".join(e.value for e in (*app.markdown, *app.caption, *app.info, *app.error, *app.warning))


@pytest.mark.usefixtures("own_runs")
def test_the_shipped_pair_stands_there_in_numbers(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language)
    assert_healthy(app)
    words = sentences(language)
    _, split = load_split(DataConfig(), "test")
    some = split.take(some_images(len(split), FEW, 0))
    found = []
    for name in ("resnet20-mnist", "plain20-mnist"):
        checkpoint = find_checkpoint(name)
        found.append(answer(load_model(checkpoint), some, checkpoint.spec))
    both = PairAnswers(a=found[0], b=found[1])
    table = app.table[0].value
    for row, answers in zip(table.itertuples(index=False), found, strict=True):
        accuracy = wilson_interval(int(answers.right.sum()), FEW)
        assert row[0] == f"**{accuracy.value:.2%}** ({accuracy.low:.2%} – {accuracy.high:.2%})"
        assert row[1] == f"{answers.evaluation.loss:.3g}"
        assert row[2] == f"{answers.reliability.error:.2%}"
        assert row[3:5] == ("269,434", words["compare.millions"].format(value="30.8"))
    said, test = texts(app), both.mcnemar
    assert not test.is_real
    assert words["compare.verdict_chance"].format(n=FEW, only_a=test.only_a, only_b=test.only_b, p=f"{test.p:.2g}") in said
    assert words["compare.fair"] in said


# -- which networks, which images ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_the_twin_comes_by_itself_and_another_network_by_choice(open_page: OpenPage, pair: Path) -> None:
    save(pair, "resnet8-other", "resnet8", seed=4, weight_decay=0.1)
    app = open_page(PAGE, run="resnet8-tiny")
    assert_healthy(app)
    assert app.selectbox(key="other_picker").value == "plain8-tiny"
    app.selectbox(key="other_picker").set_value("resnet8-other").run()
    assert_healthy(app)
    assert app.query_params["other"] == "resnet8-other"
    words = sentences("en")
    assert words["compare.not_fair"].format(count=2) in texts(app)
    help = next(element.help for element in app.markdown if element.value == words["compare.not_fair"].format(count=2))
    seed = words["compare.setting_differs"].format(name=words["setting.seed.label"], a="`0`", b="`4`")
    assert seed in help
    assert words["compare.order_other"] in help


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("case", ["channels", "classes", "index", "missing"])
def test_a_link_to_what_does_not_fit_says_which_and_shows_what_does(open_page: OpenPage, pair: Path, case: str) -> None:
    save(pair, "resnet8-colour", "resnet8", replace(SPEC, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3))
    save(pair, "resnet8-two", "resnet8", replace(SPEC, classes=("no", "yes")))
    link = {"channels": {"other": "resnet8-colour"}, "classes": {"other": "resnet8-two"}, "missing": {"other": "resnet8-tiney"}}.get(
        case, {}
    )
    app = open_page(PAGE, run="resnet8-tiny", **(link or {"image": "mnist-mini:test:10000"}))
    assert_healthy(app)
    (said,) = [warning.value for warning in app.warning]
    assert {"channels": "3", "classes": "no, yes", "index": "0 to 9999", "missing": "resnet8-tiny"}[case] in said
    assert app.selectbox(key="other_picker").value == "plain8-tiny"
    options = app.selectbox(key="other_picker").options
    assert len(options) == 2, "what cannot be compared is not offered"
    assert chart(app, "compare_maps_chart")["data"]


def test_images_of_other_classes_are_refused(open_page: OpenPage, pair: Path) -> None:
    save(pair, "resnet8-two", "resnet8", replace(SPEC, classes=("no", "yes")), dataset="fashion-mnist")
    app = open_page(PAGE, run="resnet8-two", image="mnist-mini:test:3")
    assert_healthy(app)
    (said,) = [element.value for element in app.error]
    assert said.startswith("resnet8-two tells 2 classes apart, the data set ")


@pytest.mark.usefixtures("shipped")
def test_without_any_network_it_says_so(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language)
    assert_healthy(app)
    assert app.info[0].value == sentences(language)["pick.nothing"]


def test_a_run_without_weights_is_said(open_page: OpenPage, pair: Path) -> None:
    run = Store().create(RunConfig(model=ModelConfig(model="resnet8")), "cpu", run="resnet8-waiting")
    app = open_page(PAGE, run="resnet8-tiny", other=run.run)
    assert_healthy(app)
    assert [warning.value for warning in app.warning] == [str(UserError("checkpoint_no_weights", run=run.run))]


def test_a_network_without_blocks_can_be_compared(open_page: OpenPage, pair: Path) -> None:
    save(pair, "lenet5-tiny", "lenet5", width=1.0)
    app = open_page(PAGE, run="resnet8-tiny", other="lenet5-tiny", panel="representation")
    assert_healthy(app)
    offered = app.multiselect(key="compare_methods").options
    assert METHODS["saliency"].title in offered
    assert METHODS["layer_conductance"].title not in offered
    reasons = " ".join(element.value for element in app.markdown)
    assert str(UserError("method_needs_blocks", method=METHODS["layer_conductance"].title, name="LeNet-5")) in reasons
    until_done(app, "compare_cka")
    rows = {row["row"] for row in table(app, "row", "value")}
    assert {row["column"] for row in table(app, "row", "value")} >= {"1.1"} or rows >= {"1.1"}


# -- where they part -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_a_cell_and_a_shortcut_open_their_images(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet8-tiny")
    both = expected_answers("resnet8-tiny", "plain8-tiny")
    counts = {(row["row"], row["column"]): row["count"] for row in table(app, "row_name", "count")}
    matrix = both.matrix()
    assert counts == {(int(r), int(c)): matrix[r, c] for r, c in np.argwhere(matrix)}
    cell = max(counts, key=counts.__getitem__)
    app.selectbox(key="compare_row").set_value(cell[0])
    app.selectbox(key="compare_column").set_value(cell[1]).run()
    words, classes = sentences("en"), SPEC.classes
    title = words["compare.cell_b"].format(row=classes[cell[0]], column=classes[cell[1]])
    assert words["compare.opened"].format(title=title, count=counts[cell]) in texts(app)
    app.pills(key="compare_shortcut").set_value("both_wrong").run()
    assert_healthy(app)
    count = len(both.shortcut("both_wrong"))
    assert words["compare.opened"].format(title=words["compare.shortcut_both_wrong"], count=count) in texts(app)


def test_a_cell_with_one_image_shows_it(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet20-mnist", image="mnist-mini:test:4")
    both = expected_answers("resnet20-mnist", "plain20-mnist")
    cells = {int(count): (int(row), int(column)) for (row, column), count in np.ndenumerate(both.matrix())}
    assert {1, max(cells)} <= set(cells)
    for count in (max(cells), 1):
        app.selectbox(key="compare_row").set_value(cells[count][0])
        app.selectbox(key="compare_column").set_value(cells[count][1]).run()
        assert_healthy(app)
        place = int(both.cell(*cells[count])[0])
        shown = 4 if count > 1 else int(some_images(len(load_split(DataConfig(), "test")[1]), FEW, 0)[place])
        assert app.query_params["image"] == f"mnist-mini:test:{shown}"


# -- maps ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_maps_are_the_core_s_on_one_scale_with_their_difference(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet8-tiny", image="mnist-mini:test:4")
    assert_healthy(app)
    maps = heatmaps(app)
    methods = ("saliency", "integrated_gradients", "layer_grad_cam")
    for place, method in enumerate(methods):
        a, b = (expected_map(name, method, 4) for name in ("resnet8-tiny", "plain8-tiny"))
        limit = max(np.abs(a).max(), np.abs(b).max())
        for row, values in enumerate((a, b, a - b)):
            raw, drawn = maps[row * 3 + place]
            assert raw == pytest.approx(values, rel=1e-3, abs=1e-6)
            assert drawn == pytest.approx(values / limit, abs=2e-5)


@pytest.mark.usefixtures("pair")
def test_own_scales_signs_targets_and_settings(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet8-tiny", image="mnist-mini:test:4")
    app.multiselect(key="compare_methods").set_value(["input_x_gradient"]).run()
    app.selectbox(key="compare_target").set_value(7).run()
    app.segmented_control(key="compare_scale").set_value("own")
    app.segmented_control(key="compare_sign").set_value("positive")
    app.toggle(key="compare_difference").set_value(False).run()
    assert_healthy(app)
    maps = heatmaps(app)
    assert len(maps) == 2
    for (raw, drawn), name in zip(maps, ("resnet8-tiny", "plain8-tiny"), strict=True):
        values = expected_map(name, "input_x_gradient", 4, target=7).clip(min=0)
        assert raw == pytest.approx(values, rel=1e-3, abs=1e-6)
        assert drawn.max() == pytest.approx(1)
    assert sentences("en")["compare.scale_read_own"] in texts(app)
    app.multiselect(key="compare_methods").set_value([]).run()
    assert_healthy(app)
    assert sentences("en")["compare.no_methods"] in texts(app)


@pytest.mark.usefixtures("pair")
def test_picture_and_numbers_hold_the_settings_that_made_them() -> None:
    pair = Pair(
        a=find_checkpoint("resnet8-tiny"), b=find_checkpoint("plain8-tiny"), image=ImageChoice(dataset="mnist-mini", split="test", index=4)
    )
    method = METHODS["occlusion"]
    request = Request(method="occlusion", settings=method.settings(window=9, stride=4), target=3)
    shown = [(request, (map_of(pair, 0, request), map_of(pair, 1, request)))]
    picture = Image.open(io.BytesIO(as_png(pair, shown, 1.0, None)))
    numbers = np.load(io.BytesIO(as_npz(pair, shown, 1.0, None)))
    for text in (picture.text["Settings"], str(numbers["settings"])):
        found = json.loads(text)
        assert found["networks"]["A"]["weights_sha256"] == pair.a.weights_sha256
        assert found["image"] == "mnist-mini:test:4"
        assert (found["maps"][0]["settings"]["window"], found["maps"][0]["target"]) == (9, 3)
    assert np.array_equal(numbers["B_occlusion"], shown[0][1][1].map)
    limit = max(np.abs(one.map).max() for one in shown[0][1])
    strongest = np.unravel_index(np.abs(shown[0][1][0].map[0]).argmax(), (28, 28))
    colour = picture.getpixel((232 + int(strongest[1]) * 8 + 4, int(strongest[0]) * 8 + 4))
    value = shown[0][1][0].map[0][strongest] / limit
    assert (colour[1] > colour[0]) == (value > 0), "green is for, purple against"


# -- panels --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_what_a_map_is_worth_is_the_core_s_answer(open_page: OpenPage) -> None:
    app = open_page(PAGE, run="resnet8-tiny", image="mnist-mini:test:4", panel="worth")
    app.multiselect(key="compare_methods").set_value(["saliency"]).run()
    until_done(app, "compare_worth")
    checkpoint, model = find_checkpoint("resnet8-tiny"), load_model(find_checkpoint("resnet8-tiny"))
    _, split = load_split(DataConfig(), "test")
    image, target = split.images[4:5], int(split.labels[4])
    found = attribute(model, image, checkpoint.spec, "saliency", target=target)
    (quality,) = assess(model, image, checkpoint.spec, found)
    row = app.table[1].value.iloc[0]
    assert row.iloc[2] == f"{quality.sensitivity:.2g}"
    assert row.iloc[3].startswith(f"{quality.own.deletion_area:.2f} / {quality.edges.deletion_area:.2f} / ")
    others = split.images[some_images(len(split), 64, 0)]
    check = check_randomised(model, image, checkpoint.spec, "saliency", settle_on=others, target=target)
    assert row.iloc[5] == f"{check.steps[0].signed:.2g} / {check.steps[0].absolute:.2g}"
    said = texts(app)
    assert sentences("en")[f"compare.quality_{quality.verdict}"] in said
    assert sentences("en")[f"compare.sanity_{check.verdict}"] in said
    assert chart(app, "compare_sanity_strip_0")["data"]


@pytest.mark.usefixtures("pair")
def test_over_many_images_with_a_second_seed(open_page: OpenPage, pair: Path, language: str) -> None:
    save(pair, "resnet8-seed", "resnet8", seed=1)
    app = open_page(PAGE, language=language, run="resnet8-tiny", other="plain8-tiny", panel="many")
    app.number_input(key="compare_many_count").set_value(20)
    app.toggle(key="compare_many_judged").set_value(False).run()
    until_done(app, "compare_many")
    _, split = load_split(DataConfig(), "test")
    own = np.flatnonzero(split.labels.numpy() == 0)
    indices = own[some_images(len(own), 20, 0).numpy()]
    cohorts = []
    for name in ("resnet8-tiny", "plain8-tiny", "resnet8-seed"):
        checkpoint = find_checkpoint(name)
        cohorts.append(over_images(load_model(checkpoint), split.images[indices], checkpoint.spec, "saliency", targets=[0] * 20))
    assert not np.array_equal(cohorts[0].maps, cohorts[2].maps)
    answer_ = influence(*cohorts)
    words, said = sentences(language), texts(app)
    assert words[f"compare.influence_{answer_.verdict}"].format(n=20, least=20) in said
    rank = words["compare.interval"].format(
        value=f"{answer_.networks.rank.value:.2g}", low=f"{answer_.networks.rank.low:.2g}", high=f"{answer_.networks.rank.high:.2g}"
    )
    assert rank in said
    raw = np.array(json_rows(chart(app, "compare_mean_maps"))[0])
    assert raw == pytest.approx(cohorts[0].mean_map.sum(0), rel=1e-3, abs=1e-6)


@pytest.mark.usefixtures("pair")
def test_learning_certainty_and_representation(open_page: OpenPage, language: str) -> None:
    app = open_page(PAGE, language=language, run="resnet8-tiny", panel="curves")
    assert_healthy(app)
    words = sentences(language)
    assert words["compare.no_history"].format(networks="A · ResNet-8, B · Plain-8") in texts(app)
    app.segmented_control(key="compare_panel").set_value("calibration").run()
    assert_healthy(app)
    both = expected_answers("resnet8-tiny", "plain8-tiny")
    classes = {(row["network"], row["class"]): row for row in table(app, "class", "accuracy", "low")}
    found = wilson_interval(int(both.b.right[both.b.labels == 7].sum()), int((both.b.labels == 7).sum()))
    row = classes["B · Plain-8", "7"]
    assert (row["accuracy"], row["low"], row["high"]) == pytest.approx((found.value, found.low, found.high))
    app.segmented_control(key="compare_panel").set_value("representation").run()
    assert_healthy(app)
    points = table(app, "index", "x")
    assert len(points) == FEW


# -- helpers -------------------------------------------------------------------------------------------------------------------------


def chart(app: AppTest, key: str) -> dict:  # type: ignore[type-arg]
    (found,) = [element for element in app.get("plotly_chart") if key in element.proto.id]
    return json.loads(found.proto.spec)  # type: ignore[no-any-return]


def json_rows(figure: dict) -> list[list[list[float]]]:  # type: ignore[type-arg]
    """What stands under the cursor in every heatmap."""
    return [trace["customdata"] for trace in figure["data"] if trace["type"] == "heatmap"]


def heatmaps(app: AppTest) -> list[tuple[np.ndarray, np.ndarray]]:  # type: ignore[type-arg]
    """(raw numbers, drawn numbers) of every map, row by row."""
    traces = [trace for trace in chart(app, "compare_maps_chart")["data"] if trace["type"] == "heatmap"]
    return [(np.array(trace["customdata"]), unpacked(trace["z"])) for trace in traces]


def unpacked(values: object) -> np.ndarray:  # type: ignore[type-arg]
    """Plotly sends arrays as base64 with their type and shape."""
    if isinstance(values, dict):
        shape = [int(side) for side in str(values["shape"]).split(",")]
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).reshape(shape)
    return np.array(values)


def table(app: AppTest, *columns: str) -> list[dict[str, Any]]:
    """Rows of the first Altair chart whose data have these columns."""
    tables = [
        pa.ipc.open_stream(data.data.data).read_pandas().to_dict("records")
        for element in app.get("vega_lite_chart")
        for data in element.proto.datasets
    ]
    return next(rows for rows in tables if rows and set(columns) <= set(rows[0]))  # type: ignore[return-value]


def until_done(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    end = time.monotonic() + 60
    while any(button.key == f"{key}_stop" for button in app.button) and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    assert_healthy(app)


def expected_answers(*names: str) -> PairAnswers:
    _, split = load_split(DataConfig(), "test")
    some = split.take(some_images(len(split), FEW, 0))
    first, second = (answer(load_model(found), some, found.spec) for found in map(find_checkpoint, names))
    return PairAnswers(a=first, b=second)


def expected_map(name: str, method: str, index: int, *, target: int | None = None) -> np.ndarray:  # type: ignore[type-arg]
    checkpoint, (_, split) = find_checkpoint(name), load_split(DataConfig(), "test")
    asked = int(split.labels[index]) if target is None else target
    (found,) = attribute(load_model(checkpoint), split.images[index : index + 1], checkpoint.spec, method, target=asked)
    return found.map.sum(0)  # type: ignore[no-any-return]
