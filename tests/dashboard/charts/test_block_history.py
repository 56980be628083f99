"""Blocks by steps: where cells begin and end, what is left out, where stages part."""

import pytest

from dashboard.charts.block_history import GAP, ROW, history_cells, history_heatmap, row_places

LABELS = {"stages.0.0": "1.1", "stages.0.1": "1.2", "stages.1.0": "2.1"}


def records(*steps: int) -> dict[int, dict[str, float | None]]:
    return {step: {name: float(step + place) for place, name in enumerate(LABELS)} for step in steps}


def test_cells_hold_the_recordings_and_reach_half_way_to_their_neighbours() -> None:
    cells = history_cells(records(10, 20, 40), LABELS)
    assert len(cells) == 9
    assert {(row.step, row.name): row.value for row in cells.itertuples(index=False)} == {
        (step, name): step + place for step in (10, 20, 40) for place, name in enumerate(LABELS)
    }
    first = cells[cells["name"] == "stages.0.0"]
    assert list(zip(first["start"], first["end"], strict=True)) == [(5, 15), (15, 30), (30, 50)]


@pytest.mark.parametrize(("steps", "ends"), [((63,), (0, 126)), ((0, 10), (0, 15))])
def test_the_outer_cells_do_not_begin_before_step_0(steps: tuple[int, ...], ends: tuple[float, float]) -> None:
    cells = history_cells(records(*steps), LABELS)
    assert (cells["start"].min(), cells["end"].max()) == ends


def test_nothing_recorded_is_no_cell_and_a_missing_value_is_left_out() -> None:
    assert history_cells({}, LABELS).empty
    cells = history_cells({5: {"stages.0.0": None, "stages.0.1": 0.0, "stages.1.0": 2.0}}, LABELS)
    assert list(cells["name"]) == ["stages.0.1", "stages.1.0"]


def test_of_many_recordings_the_last_one_is_always_drawn() -> None:
    cells = history_cells(records(*range(1, 1001)), LABELS, columns=50)
    steps = sorted(set(cells["step"]))
    assert len(steps) == 50
    assert (steps[0], steps[-1]) == (1, 1000)
    first = cells[cells["name"] == "stages.0.0"].sort_values("step")
    assert list(first["end"])[:-1] == list(first["start"])[1:]  # no hole between them


def test_a_gap_parts_stages_and_nothing_else() -> None:
    places = row_places(list(LABELS))
    assert places["stages.0.1"] - places["stages.0.0"] == ROW
    assert places["stages.1.0"] - places["stages.0.1"] == ROW + GAP


def drawn(**changes: object) -> dict:  # type: ignore[type-arg]
    cells = history_cells(records(10, 20), LABELS)
    options = {"x_title": "step", "y_title": "block", "value_title": "ratio", "digits": ".2f", **changes}
    return history_heatmap(cells, LABELS, **options).to_dict()  # type: ignore[arg-type, no-any-return]


def test_colours_reach_from_0_to_the_largest_value_or_as_far_to_both_sides() -> None:
    assert drawn()["encoding"]["color"]["scale"]["domain"] == [0, 11, 22]
    assert drawn(diverging=True)["encoding"]["color"]["scale"]["domain"] == [-22, 0, 22]
    assert drawn(limit=1.0)["encoding"]["color"]["scale"]["domain"] == [0, 0.5, 1]


def test_nothing_is_drawn_beyond_the_last_step_of_a_finished_training() -> None:
    spec = drawn(x_end=20)
    (data,) = spec["datasets"].values()
    assert spec["encoding"]["x"]["scale"]["domain"] == [0, 20]
    assert {(row["step"], row["start"], row["end"]) for row in data} == {(10, 5, 15), (20, 15, 20)}


def test_the_axis_runs_to_the_end_of_the_training_and_names_every_block() -> None:
    encoding = drawn(x_end=189.0, selected="stages.0.1")["encoding"]
    assert encoding["x"]["scale"]["domain"] == [0, 189]
    assert encoding["y"]["axis"]["values"] == [5, 15, 29]
    assert encoding["y"]["axis"]["labelExpr"] == "({'5': '1.1', '15': '1.2', '29': '2.1'})[datum.value]"
    assert encoding["y"]["axis"]["labelColor"]["condition"]["test"] == "datum.value == 15"
