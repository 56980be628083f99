"""Networks followed on shapes alone: against torchvision's own, torch's counter, published receptive fields and the paper's table."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_core.config import ModelConfig
from resnet_core.models import build_model, describe, describe_module, original_spec
from resnet_core.models.diagram import Block
from resnet_core.models.tracing import INPUT, trace

ROOT = Path(__file__).parents[3]
IMAGENET = (3, 224, 224)


def theirs(name: str) -> nn.Module:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of GoogLeNet and Inception, about initial weights
        return getattr(torchvision.models, name)()  # type: ignore[no-any-return]


# -- any module --------------------------------------------------------------------------------------------------------------------------

# Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks" (table of popular networks)
PUBLISHED = {"alexnet": 195, "vgg16": 212, "inception_v3": 1311}


@pytest.mark.parametrize("name", [*PUBLISHED, "resnet50", "googlenet", "densenet121", "efficientnet_b0", "vit_b_16", "swin_t"])
def test_any_network_is_counted_as_torch_counts_it(name: str) -> None:
    """Functional calls, in-place adds, attention, layers used by another module's hand: parameters, MACs and the logits' shape."""
    model = theirs(name).eval()
    shape = (3, 299, 299) if name == "inception_v3" else IMAGENET
    described = describe_module(model, shape, name=name, classes=1000)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *shape, device="meta"))
    assert described.flops == counter.get_total_flops()
    auxiliary = sum(p.numel() for key, p in model.named_parameters() if key.lower().startswith("aux"))
    assert described.unused_parameters == auxiliary
    assert described.layers[-1].output_shape == (1000,)
    drawn = [name for part in described.parts for block in part.blocks for name in block.steps]
    assert drawn == [step.name for step in described.layers]
    if name in PUBLISHED:
        assert max(step.receptive_field or 0 for step in described.layers) == PUBLISHED[name]


@pytest.mark.parametrize(("depth", "pixels"), [(50, 483), (101, 1027), (152, 1507)])
def test_receptive_fields_of_the_original_bottlenecks_are_the_published_ones(depth: int, pixels: int) -> None:
    """Stride in the first 1x1, as in He et al. 2015; every shortcut is followed, so the widest path counts."""
    config = ModelConfig(model=f"resnet{depth}", stride_in_1x1=True)
    described = describe(config, original_spec(config.model))
    assert described.parts[-2].blocks[-1].receptive_field == pixels
    assert described.parts[-1].blocks[-1].receptive_field is None


class Odd(nn.Module):
    """Everything that is no module call: a functional pooling, an in-place add, a layer used twice, a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.never = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.conv(x))
        y += x
        y = torch.relu_(y) * self.scale
        return nn.functional.max_pool2d(y, 2).flatten(1)


def test_operations_without_a_module_are_seen_with_their_inputs() -> None:
    with torch.device("meta"):
        steps = {step.name: step for step in trace(Odd(), (3, 8, 8))}
    assert {name: step.inputs for name, step in steps.items()} == {
        "conv": (INPUT,),
        "conv#2": ("conv",),
        "@add": ("conv#2", INPUT),
        "@relu": ("@add",),
        "@mul": ("@relu",),
        "@max_pool": ("@mul",),
    }
    assert [steps[name].parameters for name in ("conv", "conv#2", "@mul")] == [81, 0, 3]
    assert [steps[name].receptive_field for name in ("conv", "conv#2", "@add", "@max_pool")] == [3, 5, 5, 6]
    assert steps["@max_pool"].output_shape == (3, 4, 4)


def test_attention_sees_its_window_or_everything() -> None:
    """Swin-T: 4 px patches, windows of 7 x 7 of them: 28 px, and 6 x 4 more with each further window; ViT: all of the image at once."""
    stages = describe_module(theirs("swin_t"), IMAGENET, name="swin_t", classes=1000).parts[1:]
    assert [block.receptive_field for block in stages[0].blocks] == [28, 28 + 24]
    vit = describe_module(theirs("vit_b_16"), IMAGENET, name="vit_b_16", classes=1000).parts
    assert [vit[0].blocks[-1].receptive_field, vit[1].blocks[0].receptive_field] == [16, None]


class WideShortcut(nn.Module):
    """The path around sees more than the path through: 1 + (3 - 1) + (5 - 1) x 2 = 11 pixels against 1."""

    def __init__(self) -> None:
        super().__init__()
        self.residual = nn.Conv2d(3, 4, 1, stride=2)
        self.shortcut = nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1), nn.Conv2d(3, 4, 5, padding=2))

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(x) + self.shortcut(x)  # type: ignore[no-any-return]


def test_the_receptive_field_is_that_of_the_widest_path() -> None:
    with torch.device("meta"):
        steps = {step.name: step.receptive_field for step in trace(WideShortcut(), (3, 32, 32))}
    assert steps == {"residual": 1, "shortcut.0": 3, "shortcut.1": 11, "@add": 11}


@pytest.mark.parametrize("model", ["resnet14", "resnet50"])
def test_receptive_fields_are_where_gradients_come_from(model: str) -> None:
    """Measured: the rows of pixels that the middle of each block's output depends on, with positive weights and no norms."""
    side = 65
    config, spec = ModelConfig(model=model, norm="none", stem="small", width=0.125), replace(original_spec(model), height=side, width=side)
    network = build_model(config, spec, seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.01)
    stages = [part for part in describe(config, spec).parts if part.role == "stage"]
    blocks = {block.name: block.receptive_field or side for part in stages for block in part.blocks}
    image = torch.ones(1, 3, side, side, requires_grad=True)
    with recorded_with_graph(network, list(blocks)) as outputs:
        network(image)
    inside = {name: pixels for name, pixels in blocks.items() if pixels < side}
    assert len(inside) >= 6
    for name, pixels in inside.items():
        middle = outputs[name].shape[-1] // 2
        (gradient,) = torch.autograd.grad(outputs[name][0, :, middle, middle].sum(), image, retain_graph=True)
        rows = gradient[0].sum((0, 2)).nonzero().flatten()
        assert int(rows[-1] - rows[0]) + 1 == pixels, name


@contextmanager
def recorded_with_graph(network: nn.Module, names: list[str]) -> Iterator[dict[str, Tensor]]:
    outputs: dict[str, Tensor] = {}
    handles = [network.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: outputs.__setitem__(name, o)) for name in names]
    yield outputs
    for handle in handles:
        handle.remove()


def test_a_network_is_left_as_it_was() -> None:
    model = build_model(ModelConfig(model="resnet8"), original_spec("resnet8"), seed=None, device="meta").train()
    trace(model, (3, 32, 32))
    assert all(module.training and not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


# -- stem, stages, blocks, head --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [18, 50, 152])
def test_ours_and_torchvision_s_are_the_same_drawing(depth: int) -> None:
    """Found in two differently written networks: the same stages and blocks with the same numbers, the same kind of shortcut."""
    ours = describe(ModelConfig(model=f"resnet{depth}"), original_spec(f"resnet{depth}"))
    other = describe_module(theirs(f"resnet{depth}"), IMAGENET, name="theirs", classes=1000)

    def drawn(block: Block) -> Block:
        return replace(block, name="", steps=(), aside=())

    assert [(p.role, p.number, p.notation, [drawn(b) for b in p.blocks]) for p in ours.parts] == [
        (p.role, p.number, p.notation, [drawn(b) for b in p.blocks]) for p in other.parts
    ]


# He et al. 2015, table 1
TABLE = {
    18: ["[3×3, {0}; 3×3, {0}] × 2"] * 4,
    34: [f"[3×3, {{0}}; 3×3, {{0}}] × {n}" for n in (3, 4, 6, 3)],
    50: [f"[1×1, {{0}}; 3×3, {{0}}; 1×1, {{1}}] × {n}" for n in (3, 4, 6, 3)],
    101: [f"[1×1, {{0}}; 3×3, {{0}}; 1×1, {{1}}] × {n}" for n in (3, 4, 23, 3)],
    152: [f"[1×1, {{0}}; 3×3, {{0}}; 1×1, {{1}}] × {n}" for n in (3, 8, 36, 3)],
}


@pytest.mark.parametrize("depth", TABLE)
def test_building_blocks_and_sizes_are_the_paper_s(depth: int) -> None:
    stem, *stages, head = describe(ModelConfig(model=f"resnet{depth}"), original_spec(f"resnet{depth}")).parts
    assert stem.notation == "7×7, 64, stride 2, 3×3 max pool, stride 2"
    assert [stage.notation for stage in stages] == [
        line.format(width, 4 * width) for line, width in zip(TABLE[depth], (64, 128, 256, 512), strict=True)
    ]
    assert [part.output_shape[-1] for part in (stem, *stages)] == [56, 56, 28, 14, 7]
    assert head.notation == "average pool, 1000-d fc"


@pytest.mark.parametrize(
    ("option", "kinds"), [("A", {"identity", "padding"}), ("B", {"identity", "projection"}), ("C", {"projection"})], ids="ABC"
)
def test_shortcuts_are_found_by_what_they_do(option: str, kinds: set[str]) -> None:
    for version in ("v1", "v2"):
        config = ModelConfig(model="resnet14", option=option, version=version)
        stages = describe(config, original_spec("resnet14")).parts[1:-1]
        assert {block.shortcut for stage in stages for block in stage.blocks} == kinds
        assert {line for stage in stages for block in stage.blocks for line in block.lines} == {f"3×3, {w}" for w in (16, 32, 64)}
    plain = describe(ModelConfig(model="plain14"), original_spec("plain14")).parts[1:-1]
    assert {block.shortcut for stage in plain for block in stage.blocks} == {None}


FOLDED = {
    "vgg16": [("features", 5), ("avgpool", 1), ("classifier", 1)],  # cut behind each pooling
    "alexnet": [("features", 3), ("avgpool", 1), ("classifier", 1)],
    "vit_b_16": [("stem", 1), ("encoder.layers", 12), ("head", 2)],
    # six layers and what puts them together; each transition opens the stage whose resolution it makes
    "densenet121": [("stem", 1), ("features.denseblock1", 7), ("features", 14), ("features", 26), ("features", 17), ("head", 1)],
}


@pytest.mark.parametrize("name", FOLDED)
def test_networks_without_residual_blocks_fold_sensibly(name: str) -> None:
    parts = describe_module(theirs(name), IMAGENET, name=name, classes=1000).parts
    assert [(part.name, len(part.blocks)) for part in parts] == FOLDED[name]


def test_vgg_s_parameters_lie_in_its_linear_layers() -> None:
    described = describe_module(theirs("vgg16"), IMAGENET, name="vgg16", classes=1000)
    assert (described.parameters, described.linear_parameters) == (138_357_544, 123_642_856)  # 89%
    vit = describe(ModelConfig(model="vit_b_16"), original_spec("vit_b_16"))
    attention, mlp, head = 4 * (768 * 768 + 768), 2 * 768 * 3072 + 3072 + 768, 768 * 1000 + 1000  # queries, keys, values and the way out
    assert vit.linear_parameters == 12 * (attention + mlp) + head


def test_the_pass_does_without_torch_s_compiler() -> None:
    """A page describes our networks in its own process, which must stay small."""
    script = """
import sys
from resnet_core.config import ModelConfig
from resnet_core.models import describe, original_spec
for changes in ({}, {"version": "v2", "option": "B"}, {"norm": "group", "stem": "imagenet"}, {"norm": "none", "option": "C"}):
    for model in ("resnet20", "plain18", "resnet50"):
        describe(ModelConfig(model=model, **changes), original_spec(model))
print(*[name for name in ("torch._dynamo", "torchvision", "sympy") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=110, check=True)
    assert done.stdout.strip() == ""
