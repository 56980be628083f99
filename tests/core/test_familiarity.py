"""The rule that tells digits from what is none: its rates on shipped networks, and its arithmetic against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from resnet_core import familiarity
from resnet_core.config import RunConfig
from resnet_core.data import DATASETS, normalize
from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.data.sketch import prepare_sketch
from resnet_core.data.source import resized_spec
from resnet_core.familiarity import Familiarity, familiarity_of, fitted, kept_familiarity, knows_digits, learn, with_features
from resnet_core.models import build_model
from resnet_core.prediction import ask, maps_of, verdict
from resnet_core.runs import Checkpoint, find_checkpoint, load_model, save_checkpoint, shipped_names
from resnet_core.runs.checkpoint import read_checkpoint
from tests.core.strange_drawings import letters, scribbles

WORSE = {"plain56-mnist": 0.85}  # 56 layers without shortcuts trained worst of all, and it knows digits less well (docs/sketch.md)
DEEP = ("resnet18-mnist", "resnet56-mnist", "plain56-mnist")
SHIPPED = [name for name in shipped_names() if knows_digits(find_checkpoint(name).spec)]


def strange_share(checkpoint: Checkpoint, images: torch.Tensor) -> tuple[float, float]:
    """What looks like none, and what is at least unusual."""
    known, model = kept_familiarity(checkpoint), load_model(checkpoint)
    assert known is not None, f"{checkpoint.name}.digits.npz is missing or of other weights: resnet_core.shipping.complete writes it"
    _, features = with_features(model, normalize(fitted(images, checkpoint.spec), checkpoint.spec), maps_of(checkpoint))
    scores = known.scores(features)
    return float((scores > known.limit).mean()), float((scores > known.doubt).mean())


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if name in DEEP else []) for name in SHIPPED])
def test_digits_pass_and_letters_and_scribbles_do_not(name: str) -> None:
    """Chance alone moves these shares by 4 points (digits: 0.7)."""
    checkpoint = find_checkpoint(name)
    none, unusual = strange_share(checkpoint, read_mnist_mini("test").images[::40])
    assert none <= 0.02
    assert unusual <= 0.06
    for drawings, least_none, least_unusual in ((letters(75), 0.6, 0.8), (scribbles(60), 0.8, 0.85)):
        none, unusual = strange_share(checkpoint, drawings)
        assert none >= least_none * WORSE.get(name, 1)
        assert unusual >= least_unusual


def test_all_white_one_dot_and_a_scribble_are_no_digits_to_the_shipped_pair() -> None:
    pair = [find_checkpoint(name) for name in ("resnet20-mnist", "plain20-mnist")]
    white, dot, seven = np.full((280, 280), 255, np.uint8), np.zeros((280, 280), np.uint8), read_mnist_mini("test").images[0, 0].numpy()
    dot[130:150, 130:150] = 255
    for drawing, none in ((prepare_sketch(white).image, True), (prepare_sketch(dot).image, True), (seven, False)):
        found = verdict([ask(one, load_model(one), drawing, kept_familiarity(one)) for one in pair])
        assert (found.certainty == "none") is none
    assert found.answer == "7"
    assert found.certainty == "sure"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(familiarity, "REFERENCES", 80)
    monkeypatch.setattr(familiarity, "CALIBRATION", 50)


@pytest.mark.usefixtures("small")
def test_the_score_by_hand() -> None:
    """Of few images every one is a centre of its own, so the distance is that to the nearest neighbour."""
    checkpoint = find_checkpoint("plain20-mnist")
    model, maps = load_model(checkpoint), maps_of(checkpoint)
    known = learn(model, checkpoint.spec, maps)
    images, labels = familiarity.reference_images()
    assert torch.bincount(labels[:160]).max() <= familiarity.TYPICAL
    _, features = with_features(model, normalize(images, checkpoint.spec), maps)
    expected = np.zeros(100)
    for values in features.values():
        directions = functional.normalize(values).double().numpy()
        distances = np.sqrt(((directions[160:, None] - directions[None, :160]) ** 2).sum(2)).min(1)
        expected += (distances - distances.mean()) / distances.std(ddof=1)
    found = known.scores({name: values[160:] for name, values in features.items()})
    assert found == pytest.approx(expected, abs=2e-3)
    assert known.usual == pytest.approx(np.sort(expected), abs=2e-3)
    assert known.share_farther(float(known.usual[-1])) == pytest.approx(0.01)
    assert (known.usual > known.limit).mean() == pytest.approx(familiarity.ALARMS, abs=0.011)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("model", ["resnet8", "lenet5"])
def test_every_network_for_digits_can_be_asked_and_remembers(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_DATA", str(tmp_path))
    config = RunConfig.from_flat({"model": model, "dataset": "mnist-mini", "image_size": 32})
    spec = resized_spec(DATASETS["mnist-mini"].spec, 32)
    file = tmp_path / "net.safetensors"
    save_checkpoint(file, build_model(config.model, spec, seed=0).state_dict(), config, spec, {"step": 1})
    checkpoint = read_checkpoint(file)
    network = load_model(checkpoint)
    assert kept_familiarity(checkpoint) is None
    learnt = familiarity_of(checkpoint, network)
    kept = kept_familiarity(checkpoint)
    assert isinstance(learnt, Familiarity)
    assert isinstance(kept, Familiarity)
    image = read_mnist_mini("test").images[3, 0].numpy()
    first, again = ask(checkpoint, network, image, learnt), ask(checkpoint, network, image, kept)
    assert first.strangeness == pytest.approx(again.strangeness, abs=0.05)
    assert first.farther is not None
    assert np.array_equal(first.probabilities, again.probabilities)
    save_checkpoint(file, build_model(config.model, spec, seed=1).state_dict(), config, spec, {"step": 1})
    assert kept_familiarity(read_checkpoint(file)) is None  # of other weights


def test_a_network_for_clothes_is_not_asked_about_digits(tmp_path: Path) -> None:
    config = RunConfig.from_flat({"model": "resnet8", "dataset": "fashion-mnist"})
    spec = DATASETS["fashion-mnist"].spec
    save_checkpoint(tmp_path / "n.safetensors", build_model(config.model, spec, seed=0).state_dict(), config, spec, {"step": 1})
    checkpoint = read_checkpoint(tmp_path / "n.safetensors")
    assert familiarity_of(checkpoint, load_model(checkpoint)) is None
    opinion = ask(checkpoint, load_model(checkpoint), read_mnist_mini("test").images[3, 0].numpy())
    assert (opinion.strangeness, opinion.farther) == (None, None)
    assert verdict([opinion]).certainty != "none"
