"""The degradation experiment: real small trainings collected, files that are none, and what is called reproduced."""

import dataclasses
from pathlib import Path

import pytest

from resnet_core import cli
from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.recipes import recipe_text
from resnet_core.runs import Store, read_epochs
from resnet_core.runs.adopting import adopt_weights
from resnet_core.runs.degradation import (
    HE_2015,
    RESULT,
    Degradation,
    Trained,
    collect,
    experiment,
    join,
    missing,
    read_base,
    read_result,
    verdict,
    write_result,
)
from resnet_core.runs.worker import execute


def a_result(losses: dict[tuple[str, int], list[float]]) -> Degradation:
    rows = tuple(
        Trained(
            family=family,
            depth=depth,
            seed=seed,
            train_loss=loss,
            train_accuracy=0.5,
            test_accuracy=0.5,
            seconds=1.0,
            device="CPU",
            precision="float32",
        )
        for (family, depth), values in losses.items()
        for seed, loss in enumerate(values)
    )
    return Degradation(dataset="cifar10-jpg", train_images=45_000, epochs=3, batch_size=128, rows=rows)


def test_the_experiment_differs_in_depth_shortcuts_and_seed_alone() -> None:
    base = read_base()
    configs = experiment(base)
    assert len(configs) == len(set(configs)) == 30
    for config in configs:
        assert RunConfig.from_flat({"model": base.model.model, "seed": base.train.seed}, config) == base


def test_a_depth_that_no_network_has_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        experiment(RunConfig(), depths=(8, 9))
    assert (caught.value.code, caught.value.values["value"]) == ("depth_not_6n_plus_2", 9)


def test_finished_trainings_are_collected_with_their_own_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    base = RunConfig.from_flat({"dataset": "mnist-mini", "train_limit": 200, "width": 0.25, "epochs": 2, "batch_size": 50, "precision": "float32", "memory_format": "contiguous"})  # fmt: skip
    configs = experiment(base, depths=(8,), seeds=(0,))
    assert collect(store, configs) is None
    assert missing(store, configs) == configs
    for config in configs:
        run = store.create(config, "cpu").run
        assert store.claim("cpu", run) is not None
        assert execute(store, run).status == "finished"
    assert missing(store, configs) == ()
    elsewhere = Store(tmp_path / "elsewhere")  # a network alone brings neither its losses nor its machine
    adopt_weights(elsewhere, store.runs()[0].folder / "last.safetensors", None)
    assert elsewhere.runs()[0].config in configs
    assert missing(elsewhere, configs) == configs
    assert collect(elsewhere, configs) is None
    result = collect(store, configs)
    assert result is not None
    assert (result.dataset, result.epochs, result.batch_size) == ("mnist-mini", 2, 50)
    assert {row.precision for row in result.rows} == {"float32"}
    for row, run in zip(result.rows, sorted(store.runs(), key=lambda run: run.created), strict=True):
        assert f"{row.family}{row.depth}" == run.model_name
        assert row.train_loss == pytest.approx(read_epochs(store, run.run)[-1].train_loss, abs=1e-5)
        assert row.test_accuracy == run.result["test_accuracy"]
    write_result(result, tmp_path / "result.json")
    assert read_result(tmp_path / "result.json") == result
    # by command, into a file that holds what another machine trained
    monkeypatch.setenv("RESNET_RUNS", str(tmp_path))
    (tmp_path / "recipe.toml").write_text(recipe_text(base))
    elsewhere = dataclasses.replace(result, rows=(dataclasses.replace(result.rows[0], depth=20, device="CUDA"),))
    write_result(elsewhere, tmp_path / "shared.json")
    recipe, shared_file = str(tmp_path / "recipe.toml"), str(tmp_path / "shared.json")
    assert cli.run(["degradation", "--recipe", recipe, "--depth", "8", "--seed", "0", "--write", shared_file]) == 0
    assert "2 of 2 networks" in capsys.readouterr().err
    shared = read_result(tmp_path / "shared.json")
    assert shared is not None
    assert shared.rows == (*result.rows, *elsewhere.rows)
    assert shared.devices == tuple(sorted({f"{result.rows[0].device}, float32", "CUDA, float32"}))


def test_machines_share_the_experiment() -> None:
    here = a_result({("plain", 20): [1.0, 1.1], ("resnet", 8): [0.9]})
    there = a_result({("resnet", 20): [0.8], ("plain", 20): [2.0]})
    both = join(here, there)
    assert [(row.seed, row.depth, row.family, row.train_loss) for row in both.rows] == [
        (0, 8, "resnet", 0.9),
        (0, 20, "resnet", 0.8),
        (0, 20, "plain", 2.0),  # trained again
        (1, 20, "plain", 1.1),
    ]
    assert both.budget == here.budget
    assert join(None, here) == here


@pytest.mark.parametrize(
    "other", [{"dataset": "mnist"}, {"train_images": 50_000}, {"epochs": 4}, {"batch_size": 64}], ids=lambda value: next(iter(value))
)
def test_networks_of_another_budget_are_not_mixed(other: dict[str, str | int]) -> None:
    here = a_result({("plain", 20): [1.0]})
    with pytest.raises(UserError) as found:
        join(here, dataclasses.replace(here, **other))
    assert found.value.code == "degradation_other_budget"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{}]}', '{"rows": 3}'])
def test_a_file_that_is_no_result_says_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "result.json"
    file.write_text(text)
    with pytest.raises(UserError) as found:
        read_result(file)
    assert found.value.code == "degradation_unreadable"


def test_without_a_file_there_is_no_result(tmp_path: Path) -> None:
    assert read_result(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("plain", "resnet", "outcome"),
    [
        (([1.0, 1.1], [1.2, 1.3]), ([0.9, 1.0], [0.8, 0.9]), "reproduced"),
        (([1.0, 1.1], [1.2, 1.3]), ([0.9, 1.0], [0.95, 1.1]), "reproduced"),  # within the seeds' spread
        (([1.0, 1.1], [1.5, 1.6]), ([0.9, 0.9], [1.0, 1.0]), "plain_only"),
        (([1.0, 1.1], [1.05, 1.3]), ([0.9, 1.0], [0.8, 0.9]), "not_seen"),  # one deep seed is better than a shallow one
        (([1.0, 1.1], [1.2, 1.3]), ([0.9, 1.0], [1.5, 1.6]), "not_seen"),
    ],
)
def test_what_is_called_reproduced(plain: tuple[list[float], list[float]], resnet: tuple[list[float], list[float]], outcome: str) -> None:
    found = verdict(a_result({("plain", 20): plain[0], ("plain", 56): plain[1], ("resnet", 20): resnet[0], ("resnet", 56): resnet[1]}))
    assert found is not None
    assert found.outcome == outcome
    assert found.plain == pytest.approx((sum(plain[0]) / 2, sum(plain[1]) / 2))


def test_a_missing_network_leaves_no_verdict() -> None:
    assert verdict(a_result({("plain", 20): [1.0], ("plain", 56): [1.0], ("resnet", 20): [1.0]})) is None


def test_the_paper_s_table() -> None:
    """He et al. 2015, Table 6: the error falls with depth."""
    assert [HE_2015[depth] for depth in (20, 32, 44, 56)] == [8.75, 7.51, 7.17, 6.97]


@pytest.mark.skipif(not RESULT.is_file(), reason="the experiment is not committed")
def test_the_committed_result_is_of_the_committed_recipe() -> None:
    result, base = read_result(), read_base()
    assert result is not None
    assert (result.dataset, result.epochs, result.batch_size) == (base.data.dataset, base.train.epochs, base.train.batch_size)
    wanted = {(config.model.model, config.train.seed) for config in experiment(base)}
    assert {(f"{row.family}{row.depth}", row.seed) for row in result.rows} <= wanted
    assert dataclasses.asdict(result)["rows"]
