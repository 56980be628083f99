"""Which method is offered for which network, and that looking at one changes nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.attribution import METHODS, NEED_HELP, attribute, offered, traits_of
from resnet_core.attribution.handbook import handbook
from resnet_core.attribution.support import NEEDS
from resnet_core.config import ModelConfig
from resnet_core.data import DataSpec
from resnet_core.errors import UserError
from resnet_core.models import build_model, get_entry
from tests.core.inspection.conftest import SPEC
from tests.test_architecture import ROOT, python

LARGE = DataSpec(name="large", channels=3, height=96, width=96, classes=tuple("01"), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(model="resnet8"), ModelConfig(model="plain8", norm="none", option="B"), ModelConfig(model="resnet8", norm="group"),
        ModelConfig(model="resnet8", version="v2", stochastic_depth=0.2), ModelConfig(model="resnet18", width=0.25, stem="imagenet"),
        ModelConfig(model="mobilenet_v3_small", width=0.25), ModelConfig(model="vgg11_bn", width=0.25), ModelConfig(model="vit_b_16", width=0.125),
    ],
    ids=lambda config: f"{config.model}-{config.version}-{config.norm}-{config.stem}",
)  # fmt: skip
def test_what_is_found_in_a_network_is_what_the_table_of_networks_says(config: ModelConfig) -> None:
    model, told = build_model(config, LARGE), get_entry(config.model).capabilities(config, LARGE)
    traits = traits_of(model, LARGE)
    answers = offered(traits, config.model)
    assert (answers["deep_lift"] is None) == told.deeplift_sound
    assert (answers["layer_grad_cam"] is None) == bool(told.gradcam_layers)
    assert traits.stages == told.gradcam_layers
    assert (answers["layer_conductance"] is None) == told.has_blocks
    assert answers["saliency"] is answers["integrated_gradients"] is answers["occlusion"] is None
    for name, error in answers.items():
        if error is not None:
            assert METHODS[name].title in str(error)
            assert config.model in str(error)
            with pytest.raises(UserError) as raised:
                attribute(model, torch.zeros(1, 3, 96, 96), LARGE, name, name=config.model)
            assert str(raised.value) == str(error)


class Odd(nn.Module):
    """What a foreign network may do: one ReLU used twice and in place, or a ReLU without a module."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.relu, self.fc = kind, nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        x = self.relu(x - 0.1) if self.kind == "twice" else functional.relu(x - 0.1) if self.kind == "function" else x - 0.1
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("once", {}),
        ("twice", {"deep_lift": "runs relu more than once"}),
        ("function", {"deep_lift": "no sound rule for relu", "guided_backprop": "only activation is ReLU, and Odd has relu"}),
    ],
)
def test_foreign_networks_are_seen_through(kind: str, refused: dict[str, str], pixels: Tensor) -> None:
    model = Odd(kind)
    answers = offered(traits_of(model, SPEC), "Odd")
    for name in ("deep_lift", "guided_backprop", "layer_grad_cam", "saliency"):
        assert (answers[name] is None) == (name not in refused)
        if name in refused:
            assert refused[name] in str(answers[name])
    assert answers["layer_conductance"] is not None, "it has no blocks"
    if kind == "once":  # in place no longer, on the copy
        (found,) = attribute(model, pixels[:1], SPEC, "deep_lift", target=1)
        assert found.completeness_error == pytest.approx(0, abs=1e-4)
        assert model.relu.inplace
        (cam,) = attribute(model, pixels[:1], SPEC, "layer_grad_cam", target=1)
        assert [layer.map.shape for layer in cam.strip] == [(10, 10)]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.zeros(2, 3, 12, 12), "images of 1x12x12 .* got 3x12x12"),
        (torch.zeros(1, 12, 12), "got 12x12"),
        (torch.zeros(0, 1, 12, 12), "images of 1x12x12"),
    ],
)
def test_images_of_another_kind_are_refused(build: Any, images: Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        attribute(build(), images, SPEC, "saliency")


def test_a_look_leaves_no_trace(build: Any, witness: Any) -> None:
    model = build()
    witness(model)
    traits_of(model, SPEC)


def test_other_peoples_hooks_stay_and_hear_nothing(build: Any, pixels: Tensor) -> None:
    model, calls = build(), list[int]()
    handle = model.stages[0].register_forward_hook(lambda *_: calls.append(1))
    attribute(model, pixels[:1], SPEC, "guided_backprop")
    assert calls == []
    model(torch.zeros(1, 1, 12, 12))
    assert calls == [1]
    handle.remove()


def test_every_need_has_words() -> None:
    assert set(NEEDS) == set(NEED_HELP) == {need for method in METHODS.values() for need in method.needs}


def test_the_page_of_methods_is_the_table() -> None:
    """Written by `python -m resnet_core.attribution.handbook`."""
    assert (ROOT / "docs" / "attribution.md").read_text(encoding="utf-8") == handbook()
    assert all(
        f"`{name}`" in handbook() and rule.help in handbook() for m in METHODS.values() for name, rule in m.settings.settings().items()
    )


def test_captum_comes_without_matplotlib_and_when_asked_for() -> None:
    """A web process imports the table at its start, captum with the first map, and matplotlib and scikit-learn not at all."""
    script = """
import sys, torch
from resnet_core.attribution import attribute, assess, get_method
from resnet_core.config import ModelConfig
from resnet_core.data import DataSpec
from resnet_core.models import build_model
print("captum" in sys.modules)
spec = DataSpec(name="n", channels=1, height=12, width=12, classes=tuple("0123"), mean=(0.4,), std=(0.3,))
model, images = build_model(ModelConfig(model="resnet8", width=0.5), spec), torch.zeros(1, 1, 12, 12)
found = attribute(model, images, spec, "integrated_gradients", {"steps": 2, "max_steps": 2})
for method in ("lime", "kernel_shap"):
    attribute(model, images, spec, method, {"samples": 4, "region_count": 2})
assess(model, images, spec, found, {"squares": 2, "neighbours": 1, "points": 2, "random_orders": 1})
print(*(name in sys.modules for name in ("captum", "matplotlib", "sklearn", "torchvision", "pandas")))
from captum.attr import visualization
import captum.attr._utils.visualization as real
print(real.visualize_image_attr.__module__, visualization.visualize_image_attr is not None, "matplotlib" in sys.modules)
"""
    before, during, after = python(script).splitlines()
    assert before == "False"
    assert during.split() == ["True", "False", "False", "False", "False"]
    assert after.split() == ["captum.attr._utils.visualization", "True", "True"]
