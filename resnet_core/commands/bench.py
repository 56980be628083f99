"""`bench NAME`: a measurement of ours beside the obvious alternative, in one run."""

import typer

from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table


def bench(
    name: str = typer.Argument(metavar="NAME", help="inspect or split"),
    rounds: int = typer.Option(5, min=1, help="times that each of the two is measured; the shortest counts"),
    as_json: bool = JSON_OPTION,
) -> None:
    """What looking inside costs: all blocks of ResNet-110 on 64 images against a bare pass, both measured in turn on this machine."""
    from resnet_core.benchmarks import BENCHMARKS, run_benchmark

    result = run_benchmark(name, rounds=rounds)
    if as_json:
        write_json(result)
        return
    write_table(("what", "seconds"), [(side["what"], side["seconds"]) for side in (result.ours, result.other)])
    say(f"{BENCHMARKS[name].help}: {result.ratio:.2f} times as long, the aim is at most {result.target:g} ({result.threads} threads)")
