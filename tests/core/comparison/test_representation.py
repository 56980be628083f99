"""CKA against its formula and its invariances; PCA against the covariance; features against the head."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnet_core.comparison import cka_map, feature_places, linear_cka, penultimate_features, principal_components, tsne
from resnet_core.config import ModelConfig
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs import find_checkpoint, load_model


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def song(k: np.ndarray, m: np.ndarray) -> float:
    """The U-statistic itself: its mean over all ordered quadruples of different images (Song et al. 2012, section 3)."""
    n, total = len(k), 0.0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def test_against_the_formula_over_quadruples() -> None:
    x, y = draw(7, 5), draw(7, 3, seed=1) + draw(7, 5)[:, :3]
    k, m = (x @ x.T).numpy(), (y @ y.T).numpy()
    assert linear_cka(x, y) == pytest.approx(song(k, m) / math.sqrt(song(k, k) * song(m, m)), rel=1e-9)


def test_one_of_itself_and_of_its_rotation_and_scale_but_not_of_a_linear_map() -> None:
    x = draw(200, 12)
    rotation, _ = torch.linalg.qr(draw(12, 12, seed=3))
    stretch = torch.diag(torch.logspace(0, 2, 12, dtype=torch.float64))
    assert linear_cka(x, x) == pytest.approx(1)
    assert linear_cka(x, 7.5 * x @ rotation + 3) == pytest.approx(1, abs=1e-9)
    assert linear_cka(x, x @ stretch) < 0.6
    assert abs(linear_cka(x, draw(200, 12, seed=9))) < 0.05, "unbiased: nothing in common is about 0"


def test_minibatches_estimate_what_all_images_at_once_give() -> None:
    checkpoint = find_checkpoint("plain20-mnist")
    a, b = load_model(find_checkpoint("resnet20-mnist")), load_model(checkpoint)
    images = draw(160, 1, 28, 28).float()
    whole, parts = (cka_map(a, b, (images, images), batch_size=size) for size in (160, 32))
    assert parts.count == 160
    assert np.abs(whole.values - parts.values).max() < 0.05
    name = whole.a[3]
    outputs = {}
    for key, model in (("a", a), ("b", b)):
        places = feature_places(model)
        handle = places[name].register_forward_hook(lambda module, inputs, output, key=key: outputs.__setitem__(key, output.flatten(1)))
        with torch.no_grad():
            model(images)
        handle.remove()
    assert whole.values[3, 3] == pytest.approx(linear_cka(outputs["a"], outputs["b"]), abs=1e-5)
    itself = cka_map(a, a, (images, images))
    assert itself.values.diagonal() == pytest.approx(np.ones(len(itself.a)))
    assert itself.values == pytest.approx(itself.values.T)


def test_a_network_without_blocks_is_read_where_it_has_weights() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    found = cka_map(model, model, (draw(40, 1, 4, 4).float(),) * 2)
    assert found.a == ("1", "3")
    assert tuple(feature_places(nn.Sequential(nn.Flatten(), nn.ReLU()))) == ("0", "1")


@pytest.mark.parametrize(
    ("model", "count", "some"),
    [
        ("vgg16", 13 + 3, {"features.0", "features.28", "classifier.6"}),
        ("vit_b_16", 1 + 12 + 1, {"conv_proj", "encoder.layers.encoder_layer_11", "heads"}),
        ("swin_t", 1 + 2 + 2 + 6 + 2 + 3 + 1, {"features.0", "features.5.5", "features.6", "head"}),
        ("googlenet", 3 + 9 + 1, {"conv1", "inception5b", "fc"}),
        ("densenet121", 1 + 4 + 3 + 1, {"features.denseblock4", "features.transition1", "classifier"}),
        ("lenet5", 2 + 3, {"features.conv1", "classifier.fc3"}),
    ],
)
def test_rows_of_layers_and_blocks_are_read_member_by_member(model: str, count: int, some: set[str]) -> None:
    """As many as the papers count layers or blocks; without one that says nothing of its own (norms, pooling, activations)."""
    spec = find_checkpoint("resnet20-mnist").spec
    places = feature_places(build_model(ModelConfig(model=model), spec, seed=None, device="meta"))
    assert len(places) == count
    assert some <= places.keys()


def test_too_few_images_are_refused() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    with pytest.raises(UserError, match="at least 4"):
        cka_map(model, model, (torch.zeros(3, 1, 4, 4),) * 2)


def test_the_head_on_the_last_features_gives_the_logits() -> None:
    model = load_model(find_checkpoint("resnet20-mnist"))
    images = draw(10, 1, 28, 28).float()
    features = penultimate_features(model, images, batch_size=4)
    assert features.shape == (10, 64)
    with torch.no_grad():
        expected = model(images)
        found = model.head.fc(torch.from_numpy(features))
    assert torch.allclose(found, expected, atol=1e-5)


def test_principal_components_are_the_covariance_s_first_eigenvectors() -> None:
    features = (draw(300, 6) @ torch.diag(torch.tensor([5.0, 3, 1, 1, 0.5, 0.1], dtype=torch.float64)) + 4).numpy()
    found = principal_components(features)
    values, vectors = np.linalg.eigh(np.cov(features.T))
    expected = (features - features.mean(0)) @ vectors[:, ::-1][:, :2]
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=1e-9)
    assert found.explained == pytest.approx(values[::-1][:2] / values.sum())
    assert principal_components(np.ones((5, 3))).explained == (0, 0)


@pytest.mark.slow
def test_tsne_keeps_neighbours_together_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the server may have been started anywhere
    clusters = np.concatenate([np.random.default_rng(i).normal(20 * i, 1, (20, 8)) for i in range(3)])
    points = tsne(clusters).points
    centres = points.reshape(3, 20, 2).mean(1)
    assert points.shape == (60, 2)
    assert (np.linalg.norm(points[:, None] - centres, axis=2).argmin(1) == np.repeat(range(3), 20)).all()

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        tsne(clusters, progress=stop)
