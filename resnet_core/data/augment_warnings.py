"""Settings of augmentation that are allowed and make no sense for the data at hand."""

from collections.abc import Callable
from dataclasses import dataclass

from resnet_core.config import AugmentConfig
from resnet_core.data.spec import DataSpec


@dataclass(frozen=True, kw_only=True)
class AugmentWarning:
    """`sentence` is English; other languages keep theirs under the warning's code."""

    field: str
    applies: Callable[[AugmentConfig, DataSpec], bool]
    sentence: str


AUGMENT_WARNINGS: dict[str, AugmentWarning] = {
    "flip_digits": AugmentWarning(
        field="flip",
        applies=lambda config, spec: config.flip and _are_digits(spec),
        sentence="A mirrored digit is no digit any more; leave flipping off for digits.",
    ),
    "rotation_digits": AugmentWarning(
        field="rotation",
        applies=lambda config, spec: config.rotation > 45 and _are_digits(spec),
        sentence="Rotated by more than 45 degrees, a 6 starts to look like a 9 and a 1 like a 7; stay below.",
    ),
    "thickness_colour": AugmentWarning(
        field="thickness",
        applies=lambda config, spec: config.thickness > 0 and spec.channels != 1,
        sentence="Thickness changes bright strokes on black; on colour images it only brightens and darkens edges.",
    ),
    "thickness_large": AugmentWarning(
        field="thickness",
        applies=lambda config, spec: config.thickness > min(spec.height, spec.width) / 16,
        sentence="Strokes thickened by so many pixels fill the holes of small images; stay below a sixteenth of the side.",
    ),
    "crop_large": AugmentWarning(
        field="crop_padding",
        applies=lambda config, spec: config.crop_padding > min(spec.height, spec.width) / 4,
        sentence="A crop that may shift by more than a quarter of the side cuts away what is to be recognised.",
    ),
    "cutout_large": AugmentWarning(
        field="cutout",
        applies=lambda config, spec: 2 * config.cutout**2 > spec.height * spec.width,
        sentence="The cutout covers more than half of the image.",
    ),
    "elastic_large": AugmentWarning(
        field="elastic",
        applies=lambda config, spec: config.elastic > min(spec.height, spec.width) / 14,
        sentence="Elastic displacement beyond a fourteenth of the side tears small images apart.",
    ),
}


def augment_warnings(config: AugmentConfig, spec: DataSpec) -> tuple[str, ...]:
    """The codes, keys of AUGMENT_WARNINGS, of what makes no sense here."""
    return tuple(code for code, warning in AUGMENT_WARNINGS.items() if warning.applies(config, spec))


def _are_digits(spec: DataSpec) -> bool:
    return spec.classes == tuple("0123456789")
