"""What can be chosen for each method: frozen configs with default, range and help, as everywhere else.

Baselines are defined on pixels and normalised afterwards; so is noise, whose size is a share of the range from black to white.
"""

from dataclasses import dataclass

from resnet_core.config import Config, setting

BASELINES = ("black", "mean", "blurred")


@dataclass(frozen=True, kw_only=True)
class Smoothing(Config):
    """What every method takes: its mean over noisy copies of the image (Smilkov et al. 2017)."""

    smooth: int = setting(0, "SmoothGrad: average over this many noisy copies of the image; 0 is off", minimum=0, maximum=1000)
    smooth_noise: float = setting(
        0.1, "SmoothGrad: standard deviation of the noise, as a share of the range of a pixel", minimum=0.001, maximum=1
    )
    smooth_kind: str = setting(
        "smoothgrad",
        "smoothgrad: mean of the maps; smoothgrad_sq: mean of their squares; vargrad: their variance",
        choices=("smoothgrad", "smoothgrad_sq", "vargrad"),
    )


@dataclass(frozen=True, kw_only=True)
class Baselined(Smoothing):
    """Methods that compare the image with one that shows nothing."""

    baseline: str = setting(
        "black", "image that stands for nothing: black, the data set's mean colour, or the image itself blurred", choices=BASELINES
    )
    blur: float = setting(0.1, "blurred baseline: standard deviation, as a share of the image's side", minimum=0.01, maximum=1)


@dataclass(frozen=True, kw_only=True)
class Referenced(Smoothing):
    """Methods that compare the image with several others."""

    references: int = setting(16, "other images that the image is compared with", minimum=2, maximum=1000)


@dataclass(frozen=True, kw_only=True)
class Regioned(Baselined):
    """Methods that switch whole regions of the image off."""

    regions: str = setting("superpixels", "superpixels: patches of like colour (SLIC); grid: squares", choices=("superpixels", "grid"))
    region_count: int = setting(32, "regions to cut the image into (about)", minimum=2, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class SaliencySettings(Smoothing):
    absolute: bool = setting(True, "size of the gradient without its sign")


@dataclass(frozen=True, kw_only=True)
class IntegratedGradientsSettings(Baselined):
    steps: int = setting(64, "points between baseline and image", minimum=2, maximum=4096)
    max_steps: int = setting(512, "steps are doubled up to this many while the sum misses the difference", minimum=2, maximum=16384)
    tolerance: float = setting(
        0.05, "completeness error that is good enough, as a share of f(image) - f(baseline)", minimum=0.0001, maximum=1
    )


@dataclass(frozen=True, kw_only=True)
class GradientShapSettings(Referenced):
    samples: int = setting(64, "random points between the image and random references", minimum=1, maximum=4096)
    noise: float = setting(
        0.0, "standard deviation of noise added to each sample, as a share of the range of a pixel", minimum=0, maximum=1
    )


@dataclass(frozen=True, kw_only=True)
class OcclusionSettings(Baselined):
    window: int = setting(5, "side of the square that is covered", minimum=1, maximum=512, unit="px")
    stride: int = setting(2, "pixels between two places of the square", minimum=1, maximum=512, unit="px")


@dataclass(frozen=True, kw_only=True)
class FeatureAblationSettings(Regioned):
    regions: str = setting("grid", "superpixels: patches of like colour (SLIC); grid: squares", choices=("superpixels", "grid"))
    region_count: int = setting(49, "regions to cut the image into (about)", minimum=2, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class GradCamSettings(Smoothing):
    layer: str = setting("last", "stage whose map is laid over the image: last, or its name, such as stages.1")
    relu: bool = setting(True, "only what speaks for the class")
    interpolation: str = setting("bilinear", "how the map is enlarged to the image's size", choices=("bilinear", "nearest"))


@dataclass(frozen=True, kw_only=True)
class GuidedGradCamSettings(Smoothing):
    layer: str = setting("last", "stage of the Grad-CAM factor: last, or its name, such as stages.1")
    interpolation: str = setting("nearest", "how the map is enlarged to the image's size", choices=("bilinear", "nearest"))


@dataclass(frozen=True, kw_only=True)
class ConductanceSettings(Baselined):
    layer: str = setting("last", "block whose map is laid over the image: last, or its name, such as stages.1.0")
    steps: int = setting(32, "points between baseline and image", minimum=2, maximum=4096)
    interpolation: str = setting("bilinear", "how the map is enlarged to the image's size", choices=("bilinear", "nearest"))


@dataclass(frozen=True, kw_only=True)
class ShapleySettings(Regioned):
    permutations: int = setting(25, "random orders in which the regions appear", minimum=1, maximum=1000)


@dataclass(frozen=True, kw_only=True)
class KernelShapSettings(Regioned):
    samples: int = setting(256, "random sets of regions", minimum=4, maximum=10_000)


@dataclass(frozen=True, kw_only=True)
class LimeSettings(KernelShapSettings):
    alpha: float = setting(0.01, "Lasso's penalty: larger leaves fewer regions", minimum=0, maximum=100)
    kernel_width: float = setting(
        1.0, "width of the kernel that weighs a set by its likeness to the image (cosine distance)", minimum=0.01, maximum=100
    )
