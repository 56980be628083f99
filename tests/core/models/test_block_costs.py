"""What single blocks cost: against formulas, against the networks that hold such blocks, and the committed table of all networks."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from resnet_core.config import ModelConfig
from resnet_core.models import describe, model_names, original_spec
from resnet_core.models.block_costs import BASIC, BOTTLENECK, block_cost
from resnet_core.models.sizes import measured_size, network_sizes


@pytest.mark.parametrize("channels", [4, 64, 256, 1000])
def test_blocks_cost_what_their_convolutions_do(channels: int) -> None:
    basic, bottleneck = (block_cost(kind, channels, 14) for kind in (BASIC, BOTTLENECK))
    inner = channels // 4
    assert basic.macs == 14 * 14 * 2 * 9 * channels**2
    assert bottleneck.macs == 14 * 14 * (2 * channels * inner + 9 * inner**2)
    assert basic.parameters == 2 * 9 * channels**2 + 2 * 2 * channels
    assert bottleneck.parameters == 2 * channels * inner + 9 * inner**2 + 2 * (2 * inner + channels)


@pytest.mark.parametrize("option", ["A", "B", "C"])
@pytest.mark.parametrize(("kind", "model", "channels"), [(BASIC, "resnet18", 128), (BOTTLENECK, "resnet50", 512)])
def test_a_block_by_itself_costs_what_it_costs_in_its_network(kind: str, model: str, channels: int, option: str) -> None:
    stage = describe(ModelConfig(model=model, option=option), original_spec(model)).parts[2]
    if kind == BASIC:  # a Bottleneck's stage widens by its own rule: 256 -> 512 with inner layers of 128
        first = block_cost(kind, channels, 28, option=option, widens=True)
        assert (first.parameters, first.macs) == (stage.blocks[0].parameters, stage.blocks[0].macs)
    inside = block_cost(kind, channels, 28, option=option)
    assert (inside.parameters, inside.macs) == (stage.blocks[1].parameters, stage.blocks[1].macs)
    assert inside.shortcut_parameters == {"A": 0, "B": 0, "C": channels**2 + 2 * channels}[option]


def test_the_committed_table_has_every_network_that_needs_no_extra_package() -> None:
    ours = {size.model for size in network_sizes()}
    assert ours <= set(model_names())
    assert {"resnet152", "vgg16", "vit_b_16", "swin_t", "lenet5"} <= ours


@pytest.mark.long
def test_the_committed_table_is_what_the_networks_are() -> None:
    """In a process of its own: the whole table through torchvision."""
    script = "import json; from dataclasses import asdict; from resnet_core.models.sizes import measured_size, network_sizes\nprint(json.dumps([asdict(measured_size(size.model)) for size in network_sizes()]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=110)
    assert json.loads(done.stdout) == [asdict(size) for size in network_sizes()]


def test_the_table_s_shares_are_the_published_ones() -> None:
    sizes = {size.model: size for size in network_sizes()}
    assert round(sizes["vgg16"].linear_parameters / sizes["vgg16"].parameters, 2) == 0.89
    assert sizes["vgg16"].parameters > sizes["resnet152"].parameters
    assert sizes["resnet20"] == measured_size("resnet20")
