"""What a benchmark found: ours and the other side, each measured in the same process and in turn."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """`ratio` is ours / other; `better` says on which side of `target` it should lie. `notes` are sentences that belong to the numbers."""

    name: str
    ours: dict[str, Any]
    other: dict[str, Any]
    ratio: float | None
    target: float
    better: Literal["more", "less"]
    threads: int
    machine: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
