"""What stands in resnet_core.runs is there under its name, and a list of runs costs no torch."""

import subprocess
import sys
from pathlib import Path

import resnet_core.runs

LISTED = """
import sys
from resnet_core.cli import run
status = run(["runs", "list", "--json"])
print(status, [name for name in ("torch", "torchvision", "safetensors") if name in sys.modules])
"""


def test_every_name_leads_to_where_it_is_defined() -> None:
    assert set(resnet_core.runs.__all__) == set(resnet_core.runs._HOME)
    for name, home in resnet_core.runs._HOME.items():
        assert getattr(resnet_core.runs, name) is getattr(sys.modules[f"resnet_core.runs.{home}"], name)


def test_a_list_of_runs_imports_no_torch(own_runs: Path) -> None:
    found = subprocess.run([sys.executable, "-c", LISTED], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "0 []"
