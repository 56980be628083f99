"""The images shown before the start are the ones that the training then gets, to the last bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from resnet_core.config import RunConfig
from resnet_core.data import normalize
from resnet_core.data.spec import Splits
from resnet_core.training import Training, epoch_order
from resnet_core.training.preview import as_seen, first_images
from tests.core.training.conftest import random_split

EVERYTHING = {
    "crop_padding": 2,
    "flip": True,
    "rotation": 20,
    "translate": 0.1,
    "scale": 0.2,
    "shear": 9,
    "elastic": 1,
    "thickness": 1,
    "jitter": 0.3,
}
EVERYTHING |= {"erase_p": 0.5, "cutout": 4}


@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"mixup": 0.5, "rotation": 20}], ids=["none", "everything", "mixup"])
@pytest.mark.parametrize("batch", [16, 48], ids=["small", "large"])
def test_what_is_shown_is_what_is_trained(splits: Splits, config: Callable[..., RunConfig], changes: dict[str, Any], batch: int) -> None:
    data = Splits(spec=splits.spec, train=random_split(64, 1), valid=splits.valid, load_test=splits.load_test)
    cfg = config(batch_size=batch, seed=5, **changes)
    training = Training(cfg, data, device=torch.device("cpu"))
    trained = training._batch(epoch_order(64, 5, 1)[:batch])[0][:32]
    first = first_images(cfg, data.train)
    shown = as_seen(cfg, first, data.spec, count=batch)
    assert torch.equal(normalize(shown, data.spec), trained)
    assert len(shown) == min(batch, 32)
    if not changes:
        assert torch.equal(shown, first.images[:32].float() / 255)
