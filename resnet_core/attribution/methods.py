"""The table of methods: what each is called, takes, needs of a network, costs, means, and where it was published.

A method says how Captum is called, and no more: batching, seeds, noise and copies of the network are the same for all (computing.py).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.attribution import settings as chosen
from resnet_core.attribution.baselines import baseline_of
from resnet_core.attribution.captum_door import captum
from resnet_core.attribution.layers import Conductance, GradCam
from resnet_core.attribution.linear_fits import LinearFit
from resnet_core.attribution.regions import count_of, cut
from resnet_core.attribution.traits import Traits
from resnet_core.config import Config
from resnet_core.data.spec import DataSpec
from resnet_core.errors import UserError, nearest

LAST = "last"


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What one image costs, in passes of one image through the network; more where steps are doubled."""

    forward: int
    backward: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """What Captum is asked about a batch: `inputs` are `pixels` (B, C, H, W) in [0, 1], normalised; at most `rows` images go through the
    network at a time. `references` (R, C, H, W) are normalised other images."""

    model: nn.Module
    pixels: Tensor
    inputs: Tensor
    targets: Tensor
    spec: DataSpec
    traits: Traits
    settings: Any
    references: Tensor
    rows: int

    def baseline(self) -> Tensor:
        return baseline_of(self.pixels, self.settings, self.spec)

    def regions(self) -> Tensor:
        """(B, C, H, W), the same in every channel."""
        return cut(self.pixels, self.settings.regions, self.settings.region_count).expand_as(self.inputs)

    def noise(self, share: float) -> float:
        """A standard deviation in normalised units; with several channels that of their mean scale, since Captum takes one number."""
        return share * sum(1 / std for std in self.spec.std) / len(self.spec.std)

    @property
    def perturbed(self) -> int:
        """Changed copies of each image that go through the network together."""
        return max(1, self.rows // len(self.inputs))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A Captum object and what its `attribute` takes besides inputs and target; `together`: rows that one image becomes in one pass."""

    captum: Any
    arguments: Mapping[str, Any]
    together: int = 1


Ask = Callable[[Question], Call]
Cost = Callable[[Any, DataSpec, Traits], Passes]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to attribute.

    `needs`: names in support.NEEDS. `call`: how Captum is asked.
    `complete`: to what the map should add up: f(x) - f(baseline), f(x) - mean f(references), or to nothing in particular.
    `places`: all channels of a pixel share one value, so the map has one channel. `slopes`: the map is a gradient of a kind, not what a
    pixel contributes. `random`: it draws, so it is asked image by image.
    """

    name: str
    title: str
    settings: type[Config]
    cost: Cost
    call: Ask
    meaning: str
    source: str
    needs: tuple[str, ...] = ()
    complete: str | None = None
    places: bool = False
    slopes: bool = False
    random: bool = False


def _gradient(name: str) -> Ask:
    return lambda q: Call(captum=getattr(captum("attr"), name)(q.model), arguments={})


def _saliency(q: Question) -> Call:
    return Call(captum=captum("attr").Saliency(q.model), arguments={"abs": q.settings.absolute})


def _integrated_gradients(q: Question) -> Call:
    arguments = {"baselines": q.baseline(), "n_steps": q.settings.steps, "internal_batch_size": q.rows}
    return Call(captum=captum("attr").IntegratedGradients(q.model), arguments=arguments)


def _deep_lift(q: Question) -> Call:
    return Call(captum=captum("attr").DeepLift(q.model), arguments={"baselines": q.baseline()}, together=2)


def _gradient_shap(q: Question) -> Call:
    """Captum's GradientShap is this tunnel, but for the size of its batches, which it does not let one choose."""
    attr = captum("attr")
    arguments = {
        "nt_samples": q.settings.samples, "nt_samples_batch_size": min(q.settings.samples, q.rows), "stdevs": q.noise(q.settings.noise),
        "draw_baseline_from_distrib": True, "baselines": q.references,
    }  # fmt: skip
    shap = attr.NoiseTunnel(attr._core.gradient_shap.InputBaselineXGradient(q.model))
    return Call(captum=shap, arguments=arguments, together=min(q.settings.samples, q.rows))


class _InParts:
    """Captum's DeepLiftShap with so many references at a time: the mean over all is the mean of the parts'."""

    def __init__(self, shap: Any, most: int) -> None:
        self.shap, self.most = shap, most
        self.forward_func, self.multiplies_by_inputs = shap.forward_func, shap.multiplies_by_inputs

    def attribute(self, inputs: Tensor, *, target: Tensor, baselines: Tensor) -> Tensor:
        parts = max(1, min(math.ceil(len(baselines) / self.most), len(baselines) // 2))  # Captum wants two references or more
        found = [self.shap.attribute(inputs, baselines=some, target=target) * len(some) for some in baselines.tensor_split(parts)]
        return torch.stack(found).sum(0) / len(baselines)


def _deep_lift_shap(q: Question) -> Call:
    shap = _InParts(captum("attr").DeepLiftShap(q.model), max(2, q.rows // 2))
    return Call(captum=shap, arguments={"baselines": q.references}, together=2 * min(len(q.references), shap.most))


def _occlusion(q: Question) -> Call:
    window, stride, channels = q.settings.window, q.settings.stride, q.inputs.shape[1]
    smallest = min(q.inputs.shape[-2:])
    if window > smallest:
        raise UserError("out_of_range", field="window", value=window, range=f"at most {smallest}")
    if stride > window:
        raise UserError("out_of_range", field="stride", value=stride, range=f"at most {window}")
    arguments = {
        "sliding_window_shapes": (channels, window, window), "strides": (channels, stride, stride),
        "baselines": q.baseline(), "perturbations_per_eval": q.perturbed,
    }  # fmt: skip
    return Call(captum=captum("attr").Occlusion(q.model), arguments=arguments, together=q.perturbed)


def _regional(name: str, **options: Callable[[Question], Any]) -> Ask:
    def call(q: Question) -> Call:
        arguments = {"baselines": q.baseline(), "feature_mask": q.regions(), "perturbations_per_eval": q.perturbed}
        more = {key: value(q) for key, value in options.items()}
        return Call(captum=getattr(captum("attr"), name)(q.model), arguments={**arguments, **more}, together=q.perturbed)

    return call


def _kernel_shap(q: Question) -> Call:
    call = _regional("KernelShap", n_samples=lambda q: q.settings.samples)(q)
    call.captum.interpretable_model = LinearFit()
    return call


def _lime(q: Question) -> Call:
    attr = captum("attr")
    call = _regional("Lime", n_samples=lambda q: q.settings.samples)(q)
    call.captum.interpretable_model = LinearFit(q.settings.alpha)
    call.captum.similarity_func = attr._core.lime.get_exp_kernel_similarity_function("cosine", kernel_width=q.settings.kernel_width)
    return call


def _grad_cam(q: Question) -> Call:
    place_of_map(q.settings.layer, q.traits.stages)
    return Call(captum=GradCam(q.model, q.traits.stages), arguments={"relu_attributions": q.settings.relu})


def _guided_grad_cam(q: Question) -> Call:
    layer = q.model.get_submodule(place_of_map(q.settings.layer, q.traits.stages))
    return Call(captum=captum("attr").GuidedGradCam(q.model, layer), arguments={"interpolate_mode": q.settings.interpolation})


def _conductance(q: Question) -> Call:
    place_of_map(q.settings.layer, q.traits.blocks)
    arguments = {"baselines": q.baseline(), "n_steps": q.settings.steps, "internal_batch_size": q.rows}
    return Call(captum=Conductance(q.model, q.traits.blocks), arguments=arguments)


def place_of_map(layer: str, places: tuple[str, ...]) -> str:
    """The place that a setting names. Raises not_a_choice with the network's own places."""
    if layer != LAST and layer not in places:
        raise UserError("not_a_choice", field="layer", value=layer, choices=", ".join((LAST, *places)))
    return places[-1] if layer == LAST else layer


def _fixed(forward: int, backward: int) -> Cost:
    return lambda settings, spec, traits: Passes(forward=forward, backward=backward)


def _steps(settings: chosen.IntegratedGradientsSettings, spec: DataSpec, traits: Traits) -> Passes:
    return Passes(forward=settings.steps, backward=settings.steps)


def _samples(settings: Any, spec: DataSpec, traits: Traits) -> Passes:
    return Passes(forward=settings.samples, backward=settings.samples)


def _positions(settings: chosen.OcclusionSettings, spec: DataSpec, traits: Traits) -> Passes:
    rows, columns = (math.ceil(max(side - settings.window, 0) / settings.stride) + 1 for side in (spec.height, spec.width))
    return Passes(forward=1 + rows * columns, backward=0)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="saliency", title="Saliency", settings=chosen.SaliencySettings, cost=_fixed(1, 1), call=_saliency,
            meaning="Where a small change of a pixel changes the class score most; the gradient, not what the score is made of.",
            slopes=True,
            source="Simonyan et al. 2013, arXiv:1312.6034",
        ),
        Method(
            name="input_x_gradient", title="Input x Gradient", settings=chosen.Smoothing, cost=_fixed(1, 1), call=_gradient("InputXGradient"),
            meaning="The gradient times the normalised pixel: a first-order guess of what each pixel adds to the score.",
            source="Shrikumar et al. 2016, arXiv:1605.01713",
        ),
        Method(
            name="integrated_gradients", title="Integrated Gradients", settings=chosen.IntegratedGradientsSettings, cost=_steps,
            call=_integrated_gradients, complete="baseline",
            meaning="The gradient averaged on the way from a baseline to the image, times their difference; adds up to the difference of the scores.",
            source="Sundararajan et al. 2017, arXiv:1703.01365",
        ),
        Method(
            name="gradient_shap", title="Gradient SHAP", settings=chosen.GradientShapSettings, cost=_samples, call=_gradient_shap,
            complete="references", random=True, needs=("references",),
            meaning="Integrated Gradients from many other images at random points of the way: what sets this image apart from them.",
            source="Lundberg and Lee 2017, arXiv:1705.07874",
        ),
        Method(
            name="deep_lift", title="DeepLift", settings=chosen.Baselined, cost=_fixed(2, 2), call=_deep_lift,
            complete="baseline", needs=("deeplift",),
            meaning="How each layer's difference from the baseline is shared out to the pixels, by rules instead of gradients; adds up exactly.",
            source="Shrikumar et al. 2017, arXiv:1704.02685",
        ),
        Method(
            name="deep_lift_shap", title="DeepLift SHAP", settings=chosen.Referenced,
            cost=lambda settings, spec, traits: Passes(forward=2 * settings.references, backward=2 * settings.references),
            call=_deep_lift_shap, complete="references", random=True, needs=("deeplift", "references"),
            meaning="DeepLift from several other images, averaged: what sets this image apart from them.",
            source="Lundberg and Lee 2017, arXiv:1705.07874",
        ),
        Method(
            name="guided_backprop", title="Guided Backprop", settings=chosen.Smoothing, cost=_fixed(1, 1), call=_gradient("GuidedBackprop"),
            needs=("relus",),
            meaning="The gradient with its negative part cut at every ReLU: sharp edges of the image, which hardly depend on the weights.",
            slopes=True,
            source="Springenberg et al. 2014, arXiv:1412.6806",
        ),
        Method(
            name="deconvolution", title="Deconvolution", settings=chosen.Smoothing, cost=_fixed(1, 1), call=_gradient("Deconvolution"),
            needs=("relus",),
            meaning="The score sent backwards with a ReLU on the way back instead of the one on the way forth: patterns that could have raised it. With BatchNorm and without max pooling it does not depend on the image at all.",
            slopes=True,
            source="Zeiler and Fergus 2014, arXiv:1311.2901",
        ),
        Method(
            name="occlusion", title="Occlusion", settings=chosen.OcclusionSettings, cost=_positions, call=_occlusion, places=True,
            meaning="How far the score falls when a square of the image is covered; each pixel has the mean of its squares.",
            source="Zeiler and Fergus 2014, arXiv:1311.2901",
        ),
        Method(
            name="feature_ablation", title="Feature Ablation", settings=chosen.FeatureAblationSettings,
            cost=lambda settings, spec, traits: Passes(forward=1 + settings.region_count, backward=0),
            call=_regional("FeatureAblation"), places=True,
            meaning="How far the score falls when one region of the image is covered, region by region.",
            source="Kokhlikyan et al. 2020, arXiv:2009.07896",
        ),
        Method(
            name="layer_grad_cam", title="Layer Grad-CAM", settings=chosen.GradCamSettings,
            cost=_fixed(1, 1), call=_grad_cam, places=True, needs=("maps",),
            meaning="The maps of a stage, each weighted by its mean gradient: coarse in late stages, and about places, not pixels.",
            source="Selvaraju et al. 2016, arXiv:1610.02391",
        ),
        Method(
            name="guided_grad_cam", title="Guided Grad-CAM", settings=chosen.GuidedGradCamSettings, cost=_fixed(2, 2), call=_guided_grad_cam,
            needs=("maps", "relus"),
            meaning="Guided Backprop where Grad-CAM points: sharp, with the weakness of the former.",
            slopes=True,
            source="Selvaraju et al. 2016, arXiv:1610.02391",
        ),
        Method(
            name="layer_conductance", title="Layer Conductance", settings=chosen.ConductanceSettings,
            cost=lambda settings, spec, traits: Passes(forward=settings.steps + 1, backward=settings.steps + 1),
            call=_conductance, complete="baseline", places=True, needs=("blocks",),
            meaning="How much of the difference of the scores flows through each place behind a block; every block adds up to all of it.",
            source="Dhamdhere et al. 2018, arXiv:1805.12233",
        ),
        Method(
            name="shapley_value_sampling", title="Shapley Value Sampling", settings=chosen.ShapleySettings,
            cost=lambda settings, spec, traits: Passes(forward=1 + settings.permutations * settings.region_count, backward=0),
            call=_regional("ShapleyValueSampling", n_samples=lambda q: q.settings.permutations), complete="baseline", places=True, random=True,
            meaning="What a region adds to the score on average when regions appear in random order; adds up exactly.",
            source="Castro et al. 2009, doi:10.1016/j.cor.2008.04.004",
        ),
        Method(
            name="kernel_shap", title="KernelShap", settings=chosen.KernelShapSettings,
            cost=lambda settings, spec, traits: Passes(forward=1 + settings.samples, backward=0),
            call=_kernel_shap, complete="baseline", places=True, random=True,
            meaning="Shapley values of regions from a weighted linear fit to the scores of random sets of regions.",
            source="Lundberg and Lee 2017, arXiv:1705.07874",
        ),
        Method(
            name="lime", title="LIME", settings=chosen.LimeSettings,
            cost=lambda settings, spec, traits: Passes(forward=1 + settings.samples, backward=0), call=_lime, places=True, random=True,
            meaning="Weights of a sparse linear model that imitates the network on images with some of their regions.",
            source="Ribeiro et al. 2016, arXiv:1602.04938",
        ),
    )
}  # fmt: skip


def get_method(name: str) -> Method:
    if name not in METHODS:
        raise UserError("unknown_name", what="method", value=name, hint=nearest(name, METHODS))
    return METHODS[name]


def total_of(raw: Tensor, q: Question, method: Method) -> Tensor:
    """(B,) what a raw map adds up to; where a region's value stands at each of its pixels it counts once."""
    if not isinstance(q.settings, chosen.Regioned):
        return raw.flatten(1).sum(1)
    return per_pixel(raw, q.pixels, q.settings)[:, 0].flatten(1).sum(1)


def per_pixel(raw: Tensor, pixels: Tensor, settings: Any) -> Tensor:
    """A map (B, C, H, W) whose pixels may be added up: of a region's value, which stands at each of its pixels, each has its part."""
    if not isinstance(settings, chosen.Regioned):
        return raw
    regions = cut(pixels, settings.regions, settings.region_count)  # (B, 1, H, W)
    rows = regions.flatten(1)
    sizes = torch.stack([torch.bincount(row, minlength=count_of(rows)).gather(0, row) for row in rows])
    return raw / sizes.view_as(regions)
