"""Our blocks and networks against torchvision's with the same weights, bit for bit, and against the papers' formulas by hand."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models import ResidualBlock, ZeroPadding, block_places, build_model
from resnet_core.models.foreign import torchvision_name
from tests.core.models.conftest import shake

IMAGENET = DataSpec(
    name="test", channels=3, height=224, width=224, classes=tuple(str(i) for i in range(1000)), mean=(0.5,) * 3, std=(0.25,) * 3
)
TINY = DataSpec(name="test", channels=2, height=8, width=8, classes=("a", "b", "c"), mean=(0.5,) * 2, std=(0.25,) * 2)


def give_weights(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict({torchvision_name(name): tensor for name, tensor in ours.state_dict().items()})


def assert_same(ours: nn.Module, theirs: nn.Module, images: Tensor) -> None:
    """Outputs, gradients of every weight and of the input are the same bits."""
    inputs = [images.clone().requires_grad_() for _ in range(2)]
    outputs = [model(x) for model, x in zip((ours, theirs), inputs, strict=True)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    assert torch.count_nonzero(inputs[0].grad) > 0
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter.grad, gradients[torchvision_name(name)]), name


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    ("name", "stage", "index"), [("resnet18", 0, 0), ("resnet18", 1, 0), ("resnet50", 0, 0), ("resnet50", 2, 0), ("resnet50", 2, 1)]
)
def test_a_block_is_torchvision_s_block(name: str, stage: int, index: int, training: bool) -> None:
    ours = build_model(ModelConfig(model=name, width=0.25), IMAGENET).stages[stage][index]  # type: ignore[index, union-attr]
    shake(ours)
    first, last = ours.residual.conv1, [m for m in ours.residual if isinstance(m, nn.Conv2d)][-1]
    stride = 2 if index == 0 and stage > 0 else 1
    kind = BasicBlock if name == "resnet18" else Bottleneck
    planes = last.out_channels // kind.expansion
    down = None
    if not isinstance(ours.shortcut, nn.Identity):
        down = nn.Sequential(nn.Conv2d(first.in_channels, last.out_channels, 1, stride, bias=False), nn.BatchNorm2d(last.out_channels))
    theirs = kind(first.in_channels, planes, stride, down)
    give_weights(ours, theirs)
    assert_same(ours.train(training), theirs.train(training), torch.randn(3, first.in_channels, 10, 10))


@pytest.mark.parametrize("depth", [18, pytest.param(34, marks=pytest.mark.long), 50, pytest.param(101, marks=pytest.mark.long), 152])
def test_a_whole_network_is_torchvision_s(depth: int) -> None:
    """Logits, gradients of every weight and of the input: the same bits. Its state_dict loads with nothing missing and nothing left over."""
    ours = build_model(ModelConfig(model=f"resnet{depth}"), IMAGENET)
    shake(ours)
    with torch.device("meta"):  # drawing its weights would take longer than the test
        theirs = getattr(torchvision.models, f"resnet{depth}")().to_empty(device="cpu")
    give_weights(ours, theirs)
    assert_same(ours.eval(), theirs.eval(), torch.randn(1, 3, 40, 33))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("channels", [1, 3])
def test_surgery_on_torchvision_s_network_gives_our_network_for_small_images(name: str, channels: int) -> None:
    """What people do to fit it to digits: a 3x3 first convolution of stride 1, no pooling behind it, a head of ten classes."""
    digits = replace(TINY, channels=channels, height=28, width=28, classes=tuple("0123456789"))
    ours = build_model(ModelConfig(model=name), digits)
    shake(ours)
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)()
        theirs.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
        theirs.maxpool = nn.Identity()
        theirs.fc = nn.Linear(theirs.fc.in_features, 10)
    theirs = theirs.to_empty(device="cpu")
    give_weights(ours, theirs)
    assert_same(ours.eval(), theirs.eval(), torch.randn(1, channels, 28, 28))


def test_option_c_projects_where_nothing_changes_too() -> None:
    ours = build_model(ModelConfig(model="resnet18", width=0.25, option="C"), IMAGENET).stages[0][1]  # type: ignore[index, union-attr]
    shake(ours)
    theirs = BasicBlock(16, 16, 1, nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16)))
    give_weights(ours, theirs)
    assert_same(ours.eval(), theirs.eval(), torch.randn(2, 16, 7, 7))


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("option", ["A", "B", "C"])
@pytest.mark.parametrize("name", ["resnet8", pytest.param("resnet50", marks=pytest.mark.long)])
def test_every_combination_of_options_runs_and_has_its_twin(name: str, option: str, version: str) -> None:
    """Norms, stems and the place of the stride on top: the logits of a batch, and a plain twin of the same parameters but for shortcuts."""
    for norm, stem, early in product(("batch", "group", "none"), ("small", "imagenet"), (False, True)):
        changes = {"option": option, "version": version, "norm": norm, "stem": stem, "stride_in_1x1": early, "width": 0.125}
        both = [ModelConfig(model=n, **changes) for n in (name, name.replace("resnet", "plain"))]  # type: ignore[arg-type]
        ours, twin = (build_model(config, TINY, seed=None, device="meta") for config in both)
        assert ours(torch.empty(2, 2, 8, 8, device="meta")).shape == twin(torch.empty(2, 2, 8, 8, device="meta")).shape == (2, 3)
        shapes = {key: tensor.shape for key, tensor in ours.state_dict().items() if ".shortcut." not in key}
        assert shapes == {key: tensor.shape for key, tensor in twin.state_dict().items()}
        assert any(".shortcut." in key for key in ours.state_dict()) == (option != "A")


def test_stride_in_the_first_1x1_is_the_paper_s_bottleneck() -> None:
    for early, strides in ((True, [2, 1, 1]), (False, [1, 2, 1])):
        block = build_model(ModelConfig(model="resnet50", width=0.125, stride_in_1x1=early), IMAGENET).stages[1][0]  # type: ignore[index, union-attr]
        assert [m.stride[0] for m in block.residual if isinstance(m, nn.Conv2d)] == strides
        assert block(torch.randn(1, block.residual.conv1.in_channels, 9, 9)).shape[2:] == (5, 5)


@pytest.mark.parametrize(("channels", "out", "stride", "side"), [(2, 4, 2, 5), (3, 8, 1, 4), (4, 4, 2, 6)])
def test_option_a_keeps_every_other_pixel_and_pads_with_zero_channels(channels: int, out: int, stride: int, side: int) -> None:
    x = torch.randn(2, channels, side, side)
    y = ZeroPadding(channels, out, stride)(x)
    before = (out - channels) // 2
    expected = torch.zeros(2, out, -(-side // stride), -(-side // stride))
    for c in range(channels):
        for i in range(expected.shape[2]):
            for j in range(expected.shape[3]):
                expected[:, before + c, i, j] = x[:, c, i * stride, j * stride]
    assert torch.equal(y, expected)


def bn(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """BatchNorm in eval mode, written out."""
    shape = (1, -1, 1, 1)
    normal = (x - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + norm.eps).sqrt()
    return normal * norm.weight.view(shape) + norm.bias.view(shape)


def conv(x: Tensor, layer: nn.Conv2d) -> Tensor:
    return functional.conv2d(x, layer.weight, stride=layer.stride, padding=layer.padding)


def v2_by_hand(block: ResidualBlock, x: Tensor) -> Tensor:
    """He et al. 2016, figure 4 (e): norm and ReLU stand before each convolution; in front of a projection both paths share them."""
    relu, f = functional.relu, block.residual
    if isinstance(block.shortcut, nn.Sequential):
        shared = relu(bn(x, block.preact.norm))
        shortcut, first = conv(shared, block.shortcut.conv), conv(shared, f.conv1)
    else:
        shortcut, first = block.shortcut(x), conv(relu(bn(x, f.norm1)), f.conv1)
    second = conv(relu(bn(first, f.norm2)), f.conv2)
    third = conv(relu(bn(second, f.norm3)), f.conv3) if hasattr(f, "conv3") else second
    return third + shortcut


@pytest.mark.parametrize("option", ["A", "B", "C"])
@pytest.mark.parametrize("name", ["resnet8", "resnet50"])
def test_v2_blocks_by_hand(name: str, option: str) -> None:
    model = build_model(ModelConfig(model=name, version="v2", width=0.125, option=option), IMAGENET).double().eval()
    shake(model)
    for place in block_places(model)[:5]:
        x = torch.randn(2, place.module.residual.conv1.in_channels, 6, 6, dtype=torch.float64)
        assert torch.allclose(place.module(x), v2_by_hand(place.module, x), rtol=1e-12, atol=1e-12), place.name


def test_a_v2_network_ends_with_norm_and_relu() -> None:
    model = build_model(ModelConfig(model="resnet8", version="v2", width=0.5), TINY).double().eval()
    shake(model)
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    z = conv(x, model.stem.conv)  # type: ignore[union-attr, arg-type]
    for place in block_places(model):
        z = v2_by_hand(place.module, z)
    features = functional.relu(bn(z, model.head.norm)).mean((2, 3))  # type: ignore[union-attr, arg-type]
    assert torch.allclose(model(x), features @ model.head.fc.weight.T + model.head.fc.bias, rtol=1e-12)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("norm", ["group", "none"])
def test_other_norms(norm: str) -> None:
    model = build_model(ModelConfig(model="resnet8", norm=norm, width=0.5), TINY)
    kinds = {type(m) for m in model.modules()}
    assert nn.BatchNorm2d not in kinds
    assert (nn.GroupNorm in kinds) == (norm == "group")
    biases = {m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert biases == {norm == "none"}, "a convolution has a bias exactly where no norm follows it"
    x = torch.randn(4, 2, 8, 8)
    together, alone = model.train()(x), torch.cat([model(x[i : i + 1]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5), "without BatchNorm images do not see each other, in train mode either"


def test_no_relu_is_in_place_or_used_twice() -> None:
    for version in ("v1", "v2"):
        model = build_model(ModelConfig(model="resnet20", version=version, option="B"), TINY).eval()
        relus = {name: m for name, m in model.named_modules() if isinstance(m, nn.ReLU)}
        calls: dict[str, int] = dict.fromkeys(relus, 0)

        def counted(name: str, calls: dict[str, int] = calls) -> Callable[..., None]:
            def hook(*_: object) -> None:
                calls[name] += 1

            return hook

        for name, module in relus.items():
            assert not module.inplace
            module.register_forward_hook(counted(name))
        model(torch.randn(1, 2, 8, 8))
        assert set(calls.values()) == {1}


def test_stochastic_depth_drops_whole_branches_more_often_deeper_and_never_in_eval() -> None:
    config = ModelConfig(model="resnet20", width=0.5, stochastic_depth=0.9)
    model = build_model(config, TINY)
    rates = [place.module.drop.p for place in block_places(model)]
    assert rates == pytest.approx([0.9 * (i + 1) / 9 for i in range(9)])
    last = block_places(model)[-1].module
    torch.manual_seed(0)
    x = torch.rand(400, 32, 1, 1)
    last.train()
    z = last.drop(torch.ones(400, 32, 1, 1)).flatten(1)
    assert z.unique().tolist() == pytest.approx([0, 10]), "kept branches count 1 / (1 - p) times as much"
    assert (z == z[:, :1]).all()
    assert abs(float((z[:, 0] == 0).float().mean()) - 0.9) < 0.06
    same = build_model(ModelConfig(model="resnet20", width=0.5), TINY).eval()
    images = torch.randn(2, 2, 8, 8)
    assert torch.equal(model.eval()(images), same(images))
    assert torch.equal(last(x), block_places(same)[-1].module(x))
