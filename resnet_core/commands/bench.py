"""`bench NAME`: a measurement of ours beside the obvious alternative, in one run."""

from typing import TYPE_CHECKING, Any

import typer

from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table

if TYPE_CHECKING:
    from resnet_core.benchmarks import BenchmarkResult

MORE = (
    "precision",
    "memory_format",
    "convolution",
    "kernels",
    "tflops",
    "share_of_limit",
    "best_accuracy",
    "epochs",
    "reached",
)  # shown where a side has them


def bench(
    name: str = typer.Argument(metavar="NAME", help="inspect, split, attribute, training, probes or time-to-accuracy"),
    rounds: int | None = typer.Option(None, min=1, help="times that each of the two is measured, in turn (5)"),
    model: str | None = typer.Option(None, help="attribute, training, probes, time-to-accuracy: the network (resnet20)"),
    dataset: str | None = typer.Option(None, help="training, probes, time-to-accuracy: the data set (mnist)"),
    budget: float | None = typer.Option(None, min=1, help="time-to-accuracy: seconds that each side gets (600)"),
    goal: float | None = typer.Option(None, min=0.0, max=1.0, help="time-to-accuracy: accuracy on the test split (0.994)"),
    other_epochs: int | None = typer.Option(
        None, min=1, help="time-to-accuracy: epochs that the notes' loop needs, where that is known (15)"
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Ours beside the obvious alternative, measured in turn: looking inside beside a bare pass (inspect, split), maps in
    batches beside Captum image by image (attribute), our training
    beside the loop of study notes (training, time-to-accuracy), a training that is watched beside one that is not (probes)."""
    from resnet_core.benchmarks import BENCHMARKS, run_benchmark

    result = run_benchmark(name, rounds=rounds, model=model, dataset=dataset, budget=budget, goal=goal, other_epochs=other_epochs)
    if as_json:
        write_json(result)
        return
    benchmark = BENCHMARKS[name]
    columns = [column for column in (benchmark.unit, *MORE) if column in result.ours]
    write_table(
        ("what", *(column.replace("_", " ") for column in columns)),
        [(side["what"], *(_cell(side.get(column)) for column in columns)) for side in (result.ours, result.other)],
    )
    for key, value in result.machine.items():
        say(f"{key.replace('_', ' ')}: {value:.3g}")
    say(f"{benchmark.help}: {_verdict(result)} ({result.threads} threads)")
    for note in result.notes:
        say(note)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _verdict(result: "BenchmarkResult") -> str:
    aim = f"the aim is {'at most' if result.better == 'less' else 'at least'} {result.target:g}"
    return f"{result.ratio:.2f} times as much, {aim}" if result.ratio is not None else f"no ratio, since a side never got there; {aim}"
