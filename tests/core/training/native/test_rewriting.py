"""Networks that call the kernels beside the same networks as they are."""

import copy

import pytest
import torch
from torch import Tensor, fx, nn

from resnet_core.config import ModelConfig
from resnet_core.data.spec import DataSpec
from resnet_core.models import build_model
from resnet_core.models.blocks import ZeroPadding
from resnet_core.training.native import available, knows, with_kernels
from resnet_core.training.native.rewriting import NormReLU, Padding

pytestmark = pytest.mark.skipif(not available(), reason="needs Linux and a C compiler")
SPEC = DataSpec(name="test", channels=3, height=32, width=32, classes=tuple("0123"), mean=(0.5,) * 3, std=(0.29,) * 3)
JOINED = {  # network -> (norms with a ReLU, those with an add between)
    "resnet20": (10, 9),
    "plain20": (19, 0),
    "resnet18": (9, 8),
    "resnet50": (33, 16),
    "vgg11_bn": (8, 0),
    "mobilenet_v2": (0, 0),
    "lenet5": (0, 0),
}


def joined(network: nn.Module) -> tuple[int, int]:
    """(norms with a ReLU, those with an add between)"""
    nodes = network.graph.nodes if isinstance(network, fx.GraphModule) else ()
    modules = dict(network.named_modules())
    terms = [len(node.args) for node in nodes if node.op == "call_module" and isinstance(modules[node.target], NormReLU)]  # type: ignore[index]
    return terms.count(1), terms.count(2)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=torch.channels_last)


def in_double(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).double()


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


@pytest.fixture(params=["resnet20", "plain20", "resnet18", "resnet20 v2", "resnet20 projection", "resnet50", "vgg11_bn"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    name, _, variant = request.param.partition(" ")
    config = {"v2": {"version": "v2"}, "projection": {"option": "B"}}.get(variant, {})
    torch.manual_seed(0)
    made = build_model(ModelConfig(model=name, width=0.5 if name == "resnet50" else 1.0, **config), SPEC)
    return made.to(memory_format=torch.channels_last).train()


def test_answers_statistics_and_gradients_stay_what_they_are(network: nn.Module) -> None:
    """In float32 each comes as near to double precision as PyTorch's own kernels do, but for single numbers that lie so near to a ReLU's kink
    that rounding decides on their side: one of a few hundred thousand moves a gradient by up to 3 percent, of PyTorch's own as well.
    """
    true, usual = in_double(network), copy.deepcopy(network)
    ours = with_kernels(network)
    assert ours is not network
    found = {}
    for name, called, of in (("ours", ours, network), ("usual", usual, usual), ("true", true, true)):
        torch.manual_seed(3)  # where the network drops
        x = images().double() if name == "true" else images()
        answers = called(x)
        found[name] = {
            **{f"gradient {key}": value for key, value in gradients(of, answers.square().sum()).items()},
            **{key: value for key, value in of.named_buffers() if value.is_floating_point()},
            "answers": answers.detach(),
        }
    assert found["ours"].keys() == found["true"].keys()
    for key, right in found["true"].items():
        off = {name: float((found[name][key].double() - right).norm()) for name in ("ours", "usual")}
        kink = 5e-2 if key.startswith("gradient") else 0
        assert off["ours"] <= 4 * off["usual"] + (1e-5 + kink) * float(right.norm()), (key, off)
    counts = [int(value) for key, value in network.named_buffers() if key.endswith("num_batches_tracked")]
    assert set(counts) == {1}


def test_everything_is_shared(network: nn.Module) -> None:
    before = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
    ours = with_kernels(network)
    assert {id(tensor) for tensor in (*ours.parameters(), *ours.buffers())} == before
    assert len(list(ours.parameters())) == len(list(network.parameters()))


@pytest.mark.parametrize("name", JOINED)
def test_what_is_joined(name: str) -> None:
    network = build_model(ModelConfig(model=name), SPEC)
    expected = JOINED[name]
    assert joined(with_kernels(network)) == expected
    assert knows(network) == (expected != (0, 0))
    assert (with_kernels(network) is network) == (expected == (0, 0))


def test_statistics_that_are_held_stay_held() -> None:
    network = build_model(ModelConfig(model="resnet8"), SPEC).to(memory_format=torch.channels_last).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms[:3]:
        norm.eval()
    means = [norm.running_mean.clone() for norm in norms]  # type: ignore[union-attr]
    with_kernels(network)(images())
    assert [torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, means, strict=True)] == [True] * 3 + [False] * (
        len(norms) - 3
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("evaluated_before", [True, False])
def test_what_drops_goes_on_dropping(evaluated_before: bool) -> None:
    """Whether a module trains is asked at each pass, whatever it did when its way was followed."""
    network = build_model(ModelConfig(model="resnet8", stochastic_depth=0.5), SPEC).to(memory_format=torch.channels_last)
    modes = [module.training for module in network.train(not evaluated_before).modules()]
    ours = with_kernels(network)
    assert [module.training for module in network.modules()] == modes
    network.train()
    answers = [ours(images()) for _ in range(8)]
    assert any(not torch.equal(answers[0], other) for other in answers[1:])
    network.eval()
    answers = [ours(images()) for _ in range(8)]
    assert all(torch.equal(answers[0], other) for other in answers[1:])


class Looking(nn.Module):
    """It decides by what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(16), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.norm(x))
        return y if y.sum() > 0 else -y


class Peeking(Looking):
    """Somebody else needs what is between the norm and the ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return torch.cat([self.relu(y), y])


class Doubling(Looking):
    """Both terms are the same tensor."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        z: Tensor = self.relu(y + y)
        return z


class Changing(Looking):
    """In place, and nobody asks for the result."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm(x))
        y.clamp_(max=0.1)
        return y  # type: ignore[no-any-return]


class Drawing(Looking):
    """Another tensor each time."""

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(x)) + torch.randn(1, 16, 1, 1)  # type: ignore[no-any-return]


class Naming(Looking):
    """Arguments by their names."""

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(input=self.norm(input=x))  # type: ignore[no-any-return]


class InPlace(Looking):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)


class Composite(nn.BatchNorm2d):
    """A norm that does more; whether it trains is asked inside."""

    def __init__(self) -> None:
        super().__init__(16)
        self.more = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.more(super().forward(x))
        return y


class Composed(Looking):
    def __init__(self) -> None:
        super().__init__()
        self.norm = Composite()


def test_who_listens_goes_on_hearing() -> None:
    network = build_model(ModelConfig(model="resnet8"), SPEC).to(memory_format=torch.channels_last)
    whole = joined(with_kernels(network))
    heard: list[str] = []
    for name, module in network.named_modules():
        if name in ("stages.0.0.residual.norm1", "stages.1.0.relu", "stages.2.0.residual.conv1"):
            module.register_forward_hook(lambda *_, name=name: heard.append(name))
    ours = with_kernels(network)
    assert joined(ours) == (whole[0] - 1, whole[1] - 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours(images())
    assert len(heard) == 3


def test_following_draws_nothing_and_counts_nothing() -> None:
    network = build_model(ModelConfig(model="resnet8", stochastic_depth=0.5), SPEC).eval()
    state, drawn = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    with_kernels(network)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize("kind", [Looking, Peeking, Doubling, Changing, Drawing, Naming, InPlace, Composed])
def test_a_way_that_cannot_be_followed_or_joined_is_left_as_it_is(kind: type[nn.Module]) -> None:
    network = kind()
    assert with_kernels(network) is network
    assert not knows(network)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(16, affine=False), nn.BatchNorm2d(16, momentum=None), nn.BatchNorm2d(16, track_running_stats=False), nn.SyncBatchNorm(16), nn.GroupNorm(4, 16)]
)  # fmt: skip
def test_norms_of_another_kind_are_left_as_they_are(norm: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 1), norm, nn.ReLU())
    assert with_kernels(network) is network


def test_three_users_share_two_gradients() -> None:
    """The last user has the second tensor for itself."""

    class Three(Looking):
        def forward(self, x: Tensor) -> Tensor:
            y = self.relu(self.norm(x) + x)
            return y * 2 + y * y + y

    network, x = Three(), torch.randn(4, 16, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    ours = with_kernels(network)
    assert isinstance(ours, fx.GraphModule)
    (found,) = torch.autograd.grad(ours(x).sum(), x)
    (right,) = torch.autograd.grad(network(x).sum(), x)
    assert torch.allclose(found, right, atol=1e-4)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("shape", "after", "stride"), [((3, 4, 6, 8), 8, 2), ((2, 4, 5, 7), 6, 2), ((2, 3, 4, 4), 7, 1)])
def test_the_way_back_through_a_padding(shape: tuple[int, ...], after: int, stride: int, order: torch.memory_format) -> None:
    layer = ZeroPadding(shape[1], after, stride)
    x = torch.randn(shape).contiguous(memory_format=order).requires_grad_()
    y = Padding(layer)(x)
    assert torch.equal(y, layer(x))
    gradient = torch.randn_like(y)
    (found,), (right,) = torch.autograd.grad(y, x, gradient), torch.autograd.grad(layer(x), x, gradient)
    assert torch.equal(found, right)
    assert found.is_contiguous(memory_format=order)
