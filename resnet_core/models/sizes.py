"""How large every network of the table is as it was published, kept in a file: some need torchvision, which a page must not import.

    python -m resnet_core.models.sizes

writes the file anew; a test holds it against the networks themselves.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("sizes.json")


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """At the size of image and the number of classes that the network was published for (`side` px). MACs for one image."""

    model: str
    family: str
    depth: int
    side: int
    parameters: int
    linear_parameters: int
    macs: int


@cache
def network_sizes() -> tuple[NetworkSize, ...]:
    return tuple(NetworkSize(**row) for row in json.loads(FILE.read_text(encoding="utf-8")))


def measured_size(model: str) -> NetworkSize:
    """From the network itself."""
    from resnet_core.config import ModelConfig
    from resnet_core.models.catalog import get_entry, original_spec
    from resnet_core.models.describe import describe

    entry, spec = get_entry(model), original_spec(model)
    found = describe(ModelConfig(model=model), spec)
    return NetworkSize(
        model=model,
        family=entry.family,
        depth=entry.depth,
        side=spec.height,
        parameters=found.parameters,
        linear_parameters=found.linear_parameters,
        macs=found.macs,
    )


def _write() -> None:
    from resnet_core.models.catalog import MODELS

    rows = [asdict(measured_size(model)) for model, entry in MODELS.items() if entry.extra is None]
    lines = ",\n".join(json.dumps(row) for row in rows)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
