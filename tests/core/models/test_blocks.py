"""Our blocks and networks against torchvision's with the same weights, bit for bit, and against the papers' formulas by hand."""

import re
from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models import ResidualBlock, ZeroPadding, block_places, build_model

IMAGENET = DataSpec(
    name="test", channels=3, height=224, width=224, classes=tuple(str(i) for i in range(1000)), mean=(0.5,) * 3, std=(0.25,) * 3
)
TINY = DataSpec(name="test", channels=2, height=8, width=8, classes=("a", "b", "c"), mean=(0.5,) * 2, std=(0.25,) * 2)
TO_TORCHVISION = [
    (r"stages\.(\d)\.", lambda m: f"layer{int(m[1]) + 1}."),
    (r"residual\.conv(\d)", r"conv\1"),
    (r"residual\.norm(\d)", r"bn\1"),
    (r"shortcut\.conv", "downsample.0"),
    (r"shortcut\.norm", "downsample.1"),
    (r"stem\.conv", "conv1"),
    (r"stem\.norm", "bn1"),
    (r"head\.fc", "fc"),
]


def torchvision_name(name: str) -> str:
    for pattern, replacement in TO_TORCHVISION:
        name = re.sub(pattern, replacement, name)
    return name


def give_weights(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict({torchvision_name(name): tensor for name, tensor in ours.state_dict().items()})


def shake(model: nn.Module, seed: int = 0) -> None:
    """Norms as after some training: nothing is left at 0 or 1, where a swapped pair would go unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + 0.5)


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


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_whole_network_is_torchvision_s(name: str) -> None:
    ours = build_model(ModelConfig(model=name), IMAGENET)
    shake(ours)
    with torch.device("meta"):  # drawing its weights would take longer than the test
        theirs = getattr(torchvision.models, name)().to_empty(device="cpu")
    give_weights(ours, theirs)
    assert_same(ours.eval(), theirs.eval(), torch.randn(2, 3, 48, 40))


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
