"""Augmentation of whole batches against torchvision's of single images, and what holds for each setting."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from resnet_core.config import AugmentConfig
from resnet_core.data import geometry
from resnet_core.data.augment import augment, cut_out, erased, filled, gray, jittered, mixup, neighbourhood, restroked
from resnet_core.data.draws import Draws
from resnet_core.data.geometry import cropped, elastic_field, flipped, inverse_affine, moved, random_affine
from resnet_core.data.mnist_mini import read_mnist_mini

EACH = {
    "crop_padding": AugmentConfig(crop_padding=4),
    "flip": AugmentConfig(flip=True),
    "rotation": AugmentConfig(rotation=20),
    "translate": AugmentConfig(translate=0.1),
    "scale": AugmentConfig(scale=0.2),
    "shear": AugmentConfig(shear=15),
    "elastic": AugmentConfig(elastic=1.5),
    "thickness": AugmentConfig(thickness=1.5),
    "jitter": AugmentConfig(jitter=0.4),
    "erase_p": AugmentConfig(erase_p=0.7),
    "cutout": AugmentConfig(cutout=8),
    "all": AugmentConfig(
        crop_padding=2, flip=True, rotation=10, translate=0.1, scale=0.1, shear=5, elastic=1, thickness=1, jitter=0.2, erase_p=0.5, cutout=6
    ),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int = 0) -> Draws:
    return Draws(seeded(seed))


@pytest.fixture
def colour() -> Tensor:
    """Smooth colour images (16, 3, 32, 24): between pixels, interpolations agree."""
    coarse = torch.rand(16, 3, 6, 5, generator=seeded(1))
    return torch.nn.functional.interpolate(coarse, size=(32, 24), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """64 digits (64, 1, 28, 28) in [0, 1]."""
    return read_mnist_mini("test").images[:64] / 255


def test_with_everything_off_it_is_the_input_itself(colour: Tensor) -> None:
    generator = seeded()
    before = generator.get_state()
    assert augment(colour, AugmentConfig(), generator) is colour
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_setting_keeps_shape_type_and_range_and_leaves_the_input_alone(name: str, channels: int, colour: Tensor) -> None:
    images = colour[:, :channels].contiguous()
    before = images.clone()
    result = augment(images, EACH[name], seeded(), fill=(0.5,) * channels)
    assert result.shape == images.shape
    assert result.dtype == images.dtype
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(images, before)
    assert not torch.equal(result, images)


@pytest.mark.parametrize("name", EACH)
def test_the_generator_decides_all(name: str, colour: Tensor) -> None:
    torch.manual_seed(1)
    first = augment(colour, EACH[name], seeded(3), fill=(0.1, 0.2, 0.3))
    torch.manual_seed(2)
    again = augment(colour, EACH[name], seeded(3), fill=(0.1, 0.2, 0.3))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(colour, EACH[name], seeded(4), fill=(0.1, 0.2, 0.3)))


@pytest.mark.parametrize("name", [name for name in EACH if name != "flip"])
def test_every_image_draws_its_own_numbers(name: str) -> None:
    same = read_mnist_mini("test").images[:1].expand(32, 1, 28, 28) / 255
    results = augment(same, EACH[name], seeded())
    assert len({image.numpy().tobytes() for image in results}) > 10


AFFINE = [
    (30.0, 0.0, 0.0, 1.0, 0.0),
    (0.0, 3.0, -2.0, 1.0, 0.0),
    (0.0, 0.0, 0.0, 1.3, 0.0),
    (0.0, 0.0, 0.0, 1.0, 20.0),
    (-25.0, 2.5, 4.0, 0.8, -12.0),
]


@pytest.mark.parametrize("parameters", AFFINE)
def test_moves_as_torchvisions_affine(parameters: tuple[float, ...], colour: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    angle, right, down, scale, slant = parameters

    def given(count: int, *_: object) -> Tensor:
        same = [torch.full((count,), value) for value in (angle, scale, slant)]
        return inverse_affine(same[0], torch.tensor([[right, down]]).expand(count, 2), same[1], same[2])

    monkeypatch.setattr(geometry, "random_affine", given)
    ours = moved(colour, AugmentConfig(rotation=1), draws())
    theirs = reference.affine(colour, angle, [right, down], scale, [slant, 0.0], interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, colour, atol=0.1)


def test_random_affine_stays_in_its_ranges_and_uses_them() -> None:
    config = AugmentConfig(rotation=20, translate=0.1, scale=0.3)
    matrix = random_affine(4000, 32, 24, config, draws())
    scale = 1 / torch.linalg.det(matrix[:, :, :2]).sqrt()
    angle = torch.atan2(matrix[:, 0, 1], matrix[:, 0, 0]) * 180 / math.pi
    shift = -torch.linalg.solve(matrix[:, :, :2], matrix[:, :, 2:])[..., 0]
    for values, low, high in ((scale, 0.7, 1.3), (angle, -20, 20), (shift[:, 0], -2.4, 2.4), (shift[:, 1], -3.2, 3.2)):
        assert low - 1e-3 <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high + 1e-3
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))


def test_elastic_displacement_has_the_deviation_that_is_asked_for_everywhere() -> None:
    field = elastic_field(4000, 28, 20, 2.0, draws())
    assert field.shape == (4000, 28, 20, 2)
    torch.testing.assert_close(field.std(0), torch.full((28, 20, 2), 2.0), atol=0.15, rtol=0)
    steps = (field[:, 1:] - field[:, :-1]).abs().mean()
    assert steps < 0.5  # smooth: neighbours move together


def test_crops_are_windows_of_the_padded_image(colour: Tensor) -> None:
    padding = 2
    padded = reference.pad(colour, [padding])
    tops: set[tuple[int, int]] = set()
    for seed in range(20):
        for number, image in enumerate(cropped(colour, padding, draws(seed))):
            fits = [
                (top, left)
                for top in range(2 * padding + 1)
                for left in range(2 * padding + 1)
                if torch.equal(image, reference.crop(padded[number], top, left, 32, 24))
            ]
            assert len(fits) == 1
            tops.add(fits[0])
    assert len(tops) == (2 * padding + 1) ** 2


def test_flips_are_torchvisions_and_half_of_all(colour: Tensor) -> None:
    images = colour.repeat(50, 1, 1, 1)
    result = flipped(images, draws())
    mirrored = reference.horizontal_flip(images)
    was_flipped = (result == mirrored).flatten(1).all(1)
    assert torch.equal(result[~was_flipped], images[~was_flipped])
    assert was_flipped.float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_filled_is_torchvisions_erase(colour: Tensor) -> None:
    fill = (0.1, 0.5, 0.9)
    top, left, tall, wide = (torch.tensor(values * 4) for values in ([0, 5, 30, 8], [0, 3, 20, 0], [4, 7, 2, 0], [24, 6, 4, 5]))
    result = filled(colour, top, left, tall, wide, fill)
    value = torch.tensor(fill).view(3, 1, 1)
    for image, source, *place in zip(result, colour, top, left, tall, wide, strict=True):
        assert torch.equal(image, reference.erase(source, *(int(number) for number in place), value))


def test_erasing_takes_one_rectangle_of_the_asked_share() -> None:
    white = torch.ones(3000, 1, 40, 40)
    result = erased(white, 0.6, 0.3, (0.25,), draws())
    holes = result[:, 0] == 0.25
    touched = holes.flatten(1).any(1)
    assert touched.float().mean().item() == pytest.approx(0.6, abs=0.03)
    rows, columns = holes.any(2), holes.any(1)
    assert torch.equal(holes, rows.unsqueeze(2) & columns.unsqueeze(1))  # a rectangle: what its rows and columns span
    shares = holes[touched].float().mean((1, 2))
    assert shares.min() > 0.02 * 0.8
    assert shares.max() < 0.3 * 1.1
    aspects = rows[touched].sum(1) / columns[touched].sum(1)
    assert 0.2 < aspects.min() < 0.5
    assert 2 < aspects.max() < 5


def test_cutout_is_a_square_around_any_pixel() -> None:
    white = torch.ones(4000, 1, 20, 20)
    holes = cut_out(white, 6, (0.5,), draws())[:, 0] == 0.5
    rows, columns = holes.any(2), holes.any(1)
    assert torch.equal(holes, rows.unsqueeze(2) & columns.unsqueeze(1))
    assert int(rows.sum(1).max()) == int(columns.sum(1).max()) == 6
    whole = (rows.sum(1) == 6).float().mean().item()
    assert whole == pytest.approx(15 / 20, abs=0.03)  # the centre on one of 20 rows, the square whole for 15 of them
    assert holes.any(0).all()


def test_gray_is_torchvisions(colour: Tensor) -> None:
    torch.testing.assert_close(gray(colour), reference.rgb_to_grayscale(colour))
    assert gray(colour[:, :1]).shape[1] == 1


def test_jitter_is_torchvisions_three_steps(colour: Tensor) -> None:
    result = jittered(colour, 0.4, draws(9))
    again = draws(9)
    factors = [again.uniform(len(colour), 0.6, 1.4) for _ in range(3)]
    for image, source, brightness, contrast, saturation in zip(result, colour, *factors, strict=True):
        expected = reference.adjust_brightness(source, float(brightness))
        expected = reference.adjust_contrast(expected, float(contrast))
        expected = reference.adjust_saturation(expected, float(saturation))
        torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)


def test_neighbourhood_is_max_pooling(digits: Tensor) -> None:
    pooled = torch.nn.functional.max_pool2d(digits, 3, 1, 1)
    assert torch.equal(neighbourhood(digits, torch.maximum), pooled)
    assert torch.equal(neighbourhood(-digits, torch.minimum), -pooled)


def test_thickness_goes_both_ways_and_no_digit_disappears(digits: Tensor) -> None:
    images = digits.repeat(8, 1, 1, 1)
    ink, changed = images.sum((1, 2, 3)), restroked(images, 1.5, draws()).sum((1, 2, 3))
    assert 0.3 < (changed > ink).float().mean() < 0.7
    assert (changed / ink).max() > 1.4
    assert (changed / ink).min() < 0.8
    assert (changed / ink).min() > 0.05
    hardly = restroked(images, 0.02, draws())
    assert (hardly - images).abs().max() <= 0.02 + 1e-6


def test_mixup_is_the_papers_formula(digits: Tensor) -> None:
    labels = torch.arange(64) % 10
    mixed, first, second, weight = mixup(digits, labels, 0.4, seeded(5))
    again = draws(5)
    expected_weight, other = again.beta(0.4), again.order(64)
    assert torch.equal(first, labels)
    assert torch.equal(second, labels[other])
    assert torch.equal(weight, expected_weight)
    torch.testing.assert_close(mixed, weight * digits + (1 - weight) * digits[other])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_weights_are_a_beta_distribution(alpha: float) -> None:
    generator = draws(1)
    weights = torch.stack([generator.beta(alpha) for _ in range(4000)])
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert weights.mean().item() == pytest.approx(0.5, abs=0.03)
    assert weights.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", EACH)
def test_on_a_gpu_with_a_generator_of_its_own(name: str, colour: Tensor) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    result = augment(colour.cuda(), EACH[name], generator, fill=(0.1, 0.2, 0.3))
    assert result.is_cuda
    assert result.shape == colour.shape
