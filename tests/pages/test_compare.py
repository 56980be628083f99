"""The Compare page: both networks in numbers, the matrix and its images, maps side by side, further panels; in both languages."""

from pathlib import Path

import pytest

from dashboard.components.compare import data as compare_data
from dashboard.i18n import sentences
from resnet_core.comparison import PairAnswers, answer, wilson_interval
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import DataSpec, load_spec, load_split, some_images
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model, save_checkpoint
from tests.pages.conftest import OpenPage, assert_healthy

PAGE = "compare"
SPEC = load_spec(DataConfig())
FEW = 40


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_data, "AT_ONCE", FEW)
    monkeypatch.setattr("dashboard.components.compare.representation.AT_ONCE", FEW)


def save(folder: Path, name: str, model: str, spec: DataSpec = SPEC, **changes: object) -> None:
    config = RunConfig.from_flat({"model": model, "width": 0.5, **changes})
    save_checkpoint(
        folder / f"{name}.safetensors", build_model(config.model, spec, seed=1).state_dict(), config, spec, {"epoch": 3, "step": 9}
    )


@pytest.fixture
def shipped(tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr("resnet_core.runs.opening.SHIPPED", folder)
    return folder


@pytest.fixture
def pair(shipped: Path) -> Path:
    save(shipped, "resnet8-tiny", "resnet8")
    save(shipped, "plain8-tiny", "plain8")
    return shipped


def texts(app: object) -> str:
    return " ".join(e.value for e in (*app.markdown, *app.caption, *app.info, *app.error, *app.warning))  # type: ignore[attr-defined]


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
        assert row[2] == f"{answers.calibration.ece:.2%}"
        assert row[3:5] == ("269,434", words["compare.millions"].format(value="30.8"))
    said, test = texts(app), both.mcnemar
    assert not test.is_real
    assert words["compare.verdict_chance"].format(n=FEW, only_a=test.only_a, only_b=test.only_b, p=f"{test.p:.2g}") in said
    assert words["compare.fair"] in said
