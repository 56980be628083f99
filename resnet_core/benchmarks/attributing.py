"""What asking for many maps at once saves: `attribute` beside direct calls of Captum, image by image."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from resnet_core.attribution import attribute
from resnet_core.attribution.captum_door import captum
from resnet_core.benchmarks.result import BenchmarkResult
from resnet_core.config import ModelConfig
from resnet_core.data import DataSpec, normalize
from resnet_core.models import build_model

IMAGES, TARGET, TOLERANCE = 64, 1.5, 1e-5
SPEC = DataSpec(name="noise", channels=1, height=28, width=28, classes=tuple("0123456789"), mean=(0.5,), std=(0.25,))
METHODS = ("saliency", "input_x_gradient", "deep_lift", "layer_grad_cam")  # one or two passes an image: those that gain by batches


def measure_attribute(*, rounds: int, model: str = "resnet20", images: int = IMAGES) -> BenchmarkResult:
    """Four methods on the same images, ours and Captum's in turn; one unmeasured round first, in which their maps are compared. Seconds are
    the shortest of all rounds."""
    network = build_model(ModelConfig(model=model), SPEC).eval()
    pixels = torch.rand(images, 1, SPEC.height, SPEC.width, generator=torch.Generator().manual_seed(0))
    targets = [number % len(SPEC.classes) for number in range(images)]

    def ours() -> dict[str, np.ndarray]:
        settings = {"layer_grad_cam": {"interpolation": "nearest"}, "deep_lift": {"baseline": "mean"}}
        maps = {name: attribute(network, pixels, SPEC, name, settings.get(name), target=targets) for name in METHODS}
        return {name: np.stack([found.map for found in several]) for name, several in maps.items()}

    attr = captum("attr")
    stages = [network.get_submodule(name) for name in network.gradcam_layers]  # type: ignore[union-attr]
    cams = [attr.LayerGradCam(network, stage) for stage in stages]
    direct: dict[str, Callable[[Tensor, int], Tensor]] = {
        "saliency": lambda x, target: attr.Saliency(network).attribute(x, target=target),
        "input_x_gradient": lambda x, target: attr.InputXGradient(network).attribute(x, target=target),
        "deep_lift": lambda x, target: attr.DeepLift(network).attribute(x, target=target),
        "layer_grad_cam": lambda x, target: attr.LayerAttribution.interpolate(
            [cam.attribute(x, target=target, relu_attributions=True) for cam in cams][-1], (SPEC.height, SPEC.width)
        ),
    }

    def theirs() -> dict[str, np.ndarray]:
        singles = [(image.unsqueeze(0).requires_grad_(), target) for image, target in zip(normalize(pixels, SPEC), targets, strict=True)]
        return {name: torch.cat([call(*single) for single in singles]).detach().numpy() for name, call in direct.items() if name in METHODS}

    first, second = ours(), theirs()
    apart = max(float(np.abs(first[name] - second[name]).max() / np.abs(second[name]).max()) for name in METHODS)
    seconds = [min(times) for times in zip(*([_timed(ours), _timed(theirs)] for _ in range(rounds)), strict=True)]
    count = images * len(METHODS)
    return BenchmarkResult(
        name="attribute",
        ours={"what": "attribute, in batches", "seconds": seconds[0], "maps_per_second": count / seconds[0]},
        other={"what": "Captum, image by image", "seconds": seconds[1], "maps_per_second": count / seconds[1]},
        ratio=seconds[1] / seconds[0],
        target=TARGET,
        better="more",
        threads=torch.get_num_threads(),
        notes=(f"The maps differ by at most {apart:.1g} of their largest value ({', '.join(METHODS)}; {images} images).",),
    )


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
