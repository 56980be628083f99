"""Every method of the table against a direct call of Captum, on copies of the network, whatever was asked and however it ended."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnLasso
from captum.attr._core.lime import get_exp_kernel_similarity_function
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.attribution import BASELINES, METHODS, Smoothing, attribute, cost_of, settings_of, traits_of
from resnet_core.attribution.baselines import blurred
from resnet_core.attribution.regions import cut
from resnet_core.data.spec import normalize
from resnet_core.errors import UserError
from tests.core.inspection.conftest import SPEC

EVERY = pytest.mark.parametrize("method", METHODS)
NETWORKS = pytest.mark.parametrize("network", ["resnet8", "plain8"])
SMALL: dict[str, dict[str, Any]] = {  # settings that make a method quick; the others keep their defaults
    "integrated_gradients": {"steps": 16, "max_steps": 16},
    "gradient_shap": {"samples": 7, "noise": 0.1},
    "layer_conductance": {"steps": 6},
    "occlusion": {"window": 4, "stride": 3},
    "feature_ablation": {"region_count": 9},
    "shapley_value_sampling": {"permutations": 3, "region_count": 6},
    "kernel_shap": {"samples": 20, "region_count": 6},
    "lime": {"samples": 20, "region_count": 6, "kernel_width": 0.5, "alpha": 0.0001},
}
SEED = 5


def last_stage(model: nn.Module) -> nn.Module:
    return model.get_submodule("stages.2")


def enlarged(found: Tensor, mode: str) -> Tensor:
    return functional.interpolate(found.sum(1, keepdim=True), (12, 12), mode=mode)


def regions(x: Tensor, kind: str, count: int) -> Tensor:
    return cut(x * SPEC.std[0] + SPEC.mean[0], kind, count)


BLACK = -SPEC.mean[0] / SPEC.std[0]
# What a person who knows Captum would write: (network, normalised image, class, normalised references) -> map.
DIRECT: dict[str, Callable[[nn.Module, Tensor, int, Tensor], Tensor]] = {
    "saliency": lambda m, x, t, r: attr.Saliency(m).attribute(x, target=t),
    "input_x_gradient": lambda m, x, t, r: attr.InputXGradient(m).attribute(x, target=t),
    "integrated_gradients": lambda m, x, t, r: attr.IntegratedGradients(m).attribute(x, BLACK, target=t, n_steps=16),
    "gradient_shap": lambda m, x, t, r: attr.GradientShap(m).attribute(x, r, target=t, n_samples=7, stdevs=0.1 / SPEC.std[0]),
    "deep_lift": lambda m, x, t, r: attr.DeepLift(m).attribute(x, torch.full_like(x, BLACK), target=t),
    "deep_lift_shap": lambda m, x, t, r: attr.DeepLiftShap(m).attribute(x, r, target=t),
    "guided_backprop": lambda m, x, t, r: attr.GuidedBackprop(m).attribute(x, target=t),
    "deconvolution": lambda m, x, t, r: attr.Deconvolution(m).attribute(x, target=t),
    "occlusion": lambda m, x, t, r: attr.Occlusion(m).attribute(x, (1, 4, 4), strides=(1, 3, 3), baselines=BLACK, target=t),
    "feature_ablation": lambda m, x, t, r: attr.FeatureAblation(m).attribute(x, BLACK, target=t, feature_mask=regions(x, "grid", 9)),
    "layer_grad_cam": lambda m, x, t, r: enlarged(
        attr.LayerGradCam(m, last_stage(m)).attribute(x, target=t, relu_attributions=True), "bilinear"
    ),
    "guided_grad_cam": lambda m, x, t, r: attr.GuidedGradCam(m, last_stage(m)).attribute(x, target=t),
    "layer_conductance": lambda m, x, t, r: enlarged(
        attr.LayerConductance(m, m.get_submodule("stages.2.0")).attribute(x, BLACK, target=t, n_steps=6), "bilinear"
    ),
    "shapley_value_sampling": lambda m, x, t, r: attr.ShapleyValueSampling(m).attribute(
        x, BLACK, target=t, feature_mask=regions(x, "superpixels", 6), n_samples=3
    ),
    "kernel_shap": lambda m, x, t, r: attr.KernelShap(m).attribute(
        x, BLACK, target=t, feature_mask=regions(x, "superpixels", 6), n_samples=20
    ),
    "lime": lambda m, x, t, r: attr.Lime(
        m,
        interpretable_model=SkLearnLasso(alpha=0.0001, tol=1e-9),
        similarity_func=get_exp_kernel_similarity_function("cosine", kernel_width=0.5),
    ).attribute(x, BLACK, target=t, feature_mask=regions(x, "superpixels", 6), n_samples=20),
}


def seeded(call: Callable[[], Tensor]) -> Tensor:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    return call().detach()


@pytest.fixture(autouse=True)
def quiet_captum(recwarn: pytest.WarningsRecorder) -> None:
    """Direct calls announce their hooks, and inputs that they make differentiable."""
    import warnings

    warnings.simplefilter("ignore", UserWarning)


def test_the_direct_calls_are_those_of_the_table() -> None:
    assert list(DIRECT) == list(METHODS)


@EVERY
@NETWORKS
def test_a_method_is_a_direct_call_of_captum(build: Any, pixels: Tensor, references: Tensor, method: str, network: str) -> None:
    """Image by image what Captum says of it, although ours come in batches."""
    model, x, others = build(network), normalize(pixels[:3], SPEC), normalize(references, SPEC)
    found = attribute(model, pixels[:3], SPEC, method, SMALL.get(method), target=[1, 2, 0], seed=SEED, references=references)
    for number, (ours, target) in enumerate(zip(found, (1, 2, 0), strict=True)):
        theirs = seeded(lambda n=number, t=target: DIRECT[method](build(network), x[n : n + 1], t, others))[0].numpy()
        assert ours.map.shape == (1, 12, 12)
        np.testing.assert_allclose(ours.map, theirs, rtol=1e-4, atol=1e-5)
        assert ours.target == target
        assert ours.probability == pytest.approx(float(model(x)[number].softmax(0)[target]), abs=1e-6)
    assert np.abs(found[0].map).max() > 0, "or nothing was compared"


@NETWORKS
def test_every_layer_of_a_strip_is_a_call_of_its_own(build: Any, pixels: Tensor, network: str) -> None:
    """Ours come from the same passes, and with few rows at a time."""
    x, targets = normalize(pixels[:3], SPEC), torch.tensor([2, 0, 1])
    cams = attribute(build(network), pixels[:3], SPEC, "layer_grad_cam", {"relu": False}, target=targets.tolist())
    flows = attribute(build(network), pixels[:3], SPEC, "layer_conductance", {"steps": 7}, target=targets.tolist(), budget=300_000)
    for stage in range(3):
        model = build(network)
        cam = attr.LayerGradCam(model, model.stages[stage]).attribute(x, target=targets).detach().sum(1)
        flow = attr.LayerConductance(model, model.stages[stage][0]).attribute(x, BLACK, target=targets, n_steps=7).detach().sum(1)
        for number in range(3):
            assert cams[number].strip[stage].name == f"stages.{stage}"
            assert flows[number].strip[stage].name == f"stages.{stage}.0"
            np.testing.assert_allclose(cams[number].strip[stage].map, cam[number], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(flows[number].strip[stage].map, flow[number], rtol=1e-4, atol=1e-5)


@EVERY
def test_smoothgrad_is_captums_noise_tunnel(build: Any, pixels: Tensor, references: Tensor, method: str) -> None:
    """Over any method: the mean over the noisy images that the seed draws."""
    settings = {**SMALL.get(method, {}), "smooth": 3, "smooth_noise": 0.2}
    (ours,) = attribute(build(), pixels[:1], SPEC, method, settings, target=1, seed=SEED, references=references)
    if METHODS[method].random:  # it draws between the noisy images too: nothing to compare with but itself and the quiet map
        (again,) = attribute(build(), pixels[:1], SPEC, method, settings, target=1, seed=SEED, references=references)
        (quiet,) = attribute(build(), pixels[:1], SPEC, method, SMALL.get(method), target=1, seed=SEED, references=references)
        assert np.array_equal(ours.map, again.map)
        assert not np.allclose(ours.map, quiet.map)
        return
    x, others = normalize(pixels[:1], SPEC), normalize(references, SPEC)
    torch.manual_seed(SEED)
    noisy = x + torch.normal(0, torch.full((3, *x.shape[1:]), 0.2 / SPEC.std[0]))
    maps = [DIRECT[method](build(), image.unsqueeze(0), 1, others).detach() for image in noisy]
    np.testing.assert_allclose(ours.map, torch.stack(maps).mean(0)[0].numpy(), rtol=1e-3, atol=1e-5)


@EVERY
def test_the_same_request_gets_the_same_map(build: Any, pixels: Tensor, references: Tensor, method: str) -> None:
    """In a batch and alone, whatever was drawn before; and the process's own random numbers go on as if nothing had been."""
    model = build()
    together = attribute(model, pixels[:3], SPEC, method, SMALL.get(method), target=2, seed=SEED, references=references)
    torch.manual_seed(1)
    np.random.seed(1)
    alone = attribute(model, pixels[2:3].numpy(), SPEC, method, SMALL.get(method), target=[2], seed=SEED, references=references.numpy())
    after = torch.rand(3), np.random.rand(3)
    np.testing.assert_allclose(alone[0].map, together[2].map, rtol=1e-4, atol=1e-6)
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(after[0], torch.rand(3))
    assert np.array_equal(after[1], np.random.rand(3))


class Stop(Exception):
    pass


@EVERY
@pytest.mark.parametrize("mode", ["train", "mixed"])
def test_the_network_is_left_as_found(build: Any, witness: Any, pixels: Tensor, references: Tensor, method: str, mode: str) -> None:
    """After a map, a wrong target, and a stop in the middle of Captum's work; with frozen weights and gradients that somebody waits for."""
    model = build()
    watch = witness(model)
    if mode != "mixed":
        model.train(mode == "train")
        watch.modules = {name: (id(module), module.training) for name, module in model.named_modules()}
    calls: list[int] = []
    handle = model.stages[0].register_forward_hook(lambda *_: calls.append(1))
    watch.hooks += 1

    def stop(done: int, total: int) -> None:
        assert 0 < done <= total
        raise Stop

    options: dict[str, Any] = {"settings": SMALL.get(method), "references": references}
    attribute(model, pixels[:1], SPEC, method, target=1, **options)
    with pytest.raises(UserError, match="There is no class 4; resnet8 tells classes 0 to 3 apart"):
        attribute(model, pixels[:1], SPEC, method, target=4, **options)
    with pytest.raises(Stop):
        attribute(model, pixels[:1], SPEC, method, target=1, progress=stop, **options)
    watch.check()
    handle.remove()
    watch.hooks -= 1


@NETWORKS
@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.complete])
def test_maps_add_up(build: Any, pixels: Tensor, references: Tensor, method: str, network: str) -> None:
    """To what the scores of image and baseline differ by; what `total` and `completeness_delta` say, by hand."""
    model = build(network)
    settings = (
        {"steps": 64}
        if method == "layer_conductance"
        else {**SMALL.get(method, {}), **({"samples": 60} if method == "kernel_shap" else {})}
    )
    if METHODS[method].complete == "references":
        settings = {"references": 5, **({"samples": 640} if method == "gradient_shap" else {})}
    if method == "integrated_gradients":
        settings = {"steps": 64, "max_steps": 256, "tolerance": 0.01}
    (found,) = attribute(model, pixels[:1], SPEC, method, settings, target=3, references=references)
    x = normalize(pixels[:1], SPEC)
    others = normalize(references, SPEC) if METHODS[method].complete == "references" else torch.full_like(x, BLACK)
    expected = float(model(x)[0, 3] - model(others)[:, 3].mean())
    tolerance = 0.25 if method == "gradient_shap" else 0.05 if method == "layer_conductance" else 0.01
    assert found.total == pytest.approx(expected, abs=tolerance * abs(expected) + 5e-4)
    assert found.completeness_delta == pytest.approx(found.total - expected, abs=1e-4)
    assert found.completeness_error == pytest.approx(abs(found.total - expected) / abs(expected), abs=1e-3)
    assert found.score == pytest.approx(float(model(x)[0, 3]), abs=1e-5)
    if found.strip:
        assert [layer.name for layer in found.strip] == ["stages.0.0", "stages.1.0", "stages.2.0"]
        assert all(layer.total == pytest.approx(expected, rel=tolerance, abs=0.02) for layer in found.strip)
    elif not METHODS[method].places:
        assert found.total == pytest.approx(float(found.map.sum()), abs=1e-4)


@NETWORKS
def test_steps_are_doubled_until_the_sum_fits(build: Any, pixels: Tensor, network: str) -> None:
    """For each image of a batch on its own, and no further than allowed."""
    model = build(network)
    strict = attribute(model, pixels, SPEC, "integrated_gradients", {"steps": 4, "max_steps": 64, "tolerance": 0.02}, target=0)
    assert len({found.steps for found in strict}) > 1
    for number, found in enumerate(strict):
        assert found.completeness_error is not None
        assert found.completeness_error < 0.02 or found.steps == 64
        if found.steps != 4:
            half = {"steps": (found.steps or 0) // 2, "max_steps": 2}
            (before,) = attribute(model, pixels[number : number + 1], SPEC, "integrated_gradients", half, target=0)
            assert before.completeness_error is not None
            assert before.completeness_error > 0.02
            assert before.steps == half["steps"]


@pytest.mark.parametrize("budget", [1, 40_000])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("saliency", {}), ("integrated_gradients", {"steps": 24, "max_steps": 24}), ("layer_conductance", {"steps": 10}),
        ("occlusion", {"window": 4, "stride": 3}), ("deep_lift_shap", {}), ("gradient_shap", {"samples": 30}), ("deep_lift", {"smooth": 5}),
    ],
)  # fmt: skip
def test_memory_bounds_the_batch_and_not_the_map(
    build: Any, pixels: Tensor, references: Tensor, method: str, settings: Any, budget: int
) -> None:
    model, heard = build(), [0]
    small = attribute(
        model, pixels, SPEC, method, settings, target=1, references=references, budget=budget, progress=lambda done, of: heard.append(done)
    )
    assert max(np.diff(heard)) <= {1: 6, 40_000: 12}[budget], "images in one pass"
    whole = attribute(model, pixels, SPEC, method, settings, target=1, references=references)
    for one, other in zip(small, whole, strict=True):
        if method != "gradient_shap":  # what it draws comes in the order of its batches
            np.testing.assert_allclose(one.map, other.map, rtol=1e-3, atol=1e-5)


def test_threads_get_their_own_maps(build: Any, pixels: Tensor, references: Tensor) -> None:
    """At the same time, of one network: a method that draws and one that hooks backwards passes."""
    model = build()
    jobs = [(method, target) for method in ("gradient_shap", "guided_backprop", "deep_lift", "integrated_gradients") for target in (0, 1)]

    def ask(method: str, target: int) -> Any:
        return attribute(model, pixels[:4], SPEC, method, SMALL.get(method), target=target, seed=target, references=references)

    expected = [ask(*job) for job in jobs]
    found: dict[int, list[Any]] = {number: [] for number in range(len(jobs))}
    threads = [
        threading.Thread(target=lambda n=number, job=job: found[n].extend(ask(*job) for _ in range(4))) for number, job in enumerate(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, answer in enumerate(expected):
        assert len(found[number]) == 4
        for again in found[number]:
            assert all(np.array_equal(one.map, other.map) for one, other in zip(again, answer, strict=True))


@pytest.mark.parametrize(
    ("settings", "words"), [({"window": 13}, "window must be at most 12"), ({"window": 2, "stride": 4}, "stride must be at most 2")]
)
def test_a_window_fits_the_image_and_leaves_no_gap(build: Any, pixels: Tensor, settings: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        attribute(build(), pixels[:1], SPEC, "occlusion", settings)


@EVERY
def test_costs_are_the_passes_that_were_made(build: Any, pixels: Tensor, references: Tensor, method: str) -> None:
    model, heard = build(), list[tuple[int, int]]()
    settings = settings_of(
        METHODS[method], {**SMALL.get(method, {}), **({"references": 5} if METHODS[method].complete == "references" else {})}
    )
    attribute(model, pixels[:2], SPEC, method, settings, target=1, references=references, progress=lambda *now: heard.append(now))
    expected = 2 * cost_of(METHODS[method], settings, SPEC, traits_of(model, SPEC)).forward
    assert heard[-1][0] == pytest.approx(expected, rel=0.25, abs=14)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_without_max_pooling_deconvolution_does_not_see_the_image(build: Any, pixels: Tensor) -> None:
    found = attribute(build(), pixels[:2], SPEC, "deconvolution", target=1)
    np.testing.assert_allclose(found[0].map, found[1].map, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_are_defined_on_pixels(build: Any, pixels: Tensor, baseline: str) -> None:
    """DeepLift adds up to the difference from the right one."""
    model = build()
    (found,) = attribute(model, pixels[:1], SPEC, "deep_lift", {"baseline": baseline, "blur": 0.2}, target=0)
    image = pixels[:1].float() / 255
    expected = {"black": torch.zeros_like(image), "mean": torch.full_like(image, SPEC.mean[0]), "blurred": blurred(image, 2.4)}[baseline]
    assert found.total == pytest.approx(float(model(normalize(image, SPEC))[0, 0] - model(normalize(expected, SPEC))[0, 0]), abs=1e-4)


def test_a_blur_is_scipys(pixels: Tensor) -> None:
    """Borders included; each image and channel for itself."""
    images = torch.cat([pixels[:2], pixels[2:4]], dim=1).float() / 255
    expected = gaussian_filter(images.numpy(), (0, 0, 1.5, 1.5), mode="nearest", radius=(0, 0, 5, 5))
    np.testing.assert_allclose(blurred(images, 1.5), expected, atol=1e-5)
    assert torch.allclose(blurred(torch.full((1, 1, 9, 7), 0.3), 3.0), torch.tensor(0.3))


@pytest.mark.parametrize("kind", ["grid", "superpixels"])
@pytest.mark.parametrize("count", [2, 9, 40])
def test_regions_cut_the_whole_image(pixels: Tensor, kind: str, count: int) -> None:
    found = cut(pixels.float() / 255, kind, count)
    assert found.shape == (8, 1, 12, 12)
    for one in found:
        assert torch.equal(torch.unique(one), torch.arange(int(one.max()) + 1)), "numbered without gaps"
        assert 2 <= int(one.max()) + 1 <= 1.5 * count


def test_superpixels_follow_colour() -> None:
    """An image of two halves: no region lies in both."""
    image = torch.zeros(1, 3, 16, 16)
    image[:, :, :, 7:] = 1
    found = cut(image, "superpixels", 12)[0, 0]
    assert not set(found[:, :7].unique().tolist()) & set(found[:, 7:].unique().tolist())
    assert set(cut(image, "grid", 9)[0, 0, :, 6:8].unique().tolist()) & set(cut(image, "grid", 9)[0, 0, :, 6].unique().tolist())


def test_every_method_takes_smoothing() -> None:
    for method in METHODS.values():
        assert issubclass(method.settings, Smoothing)
        assert method.meaning.endswith(".")
        assert method.source
