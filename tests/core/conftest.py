"""Real digits in no time, for tests that train or read through the whole product."""

import pytest
from PIL import Image

from resnet_core.config import DataConfig
from resnet_core.data import load_split


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set of real digits that is read in no time: an image folder with 256 training, 64 validation and 100 test images."""
    folder = tmp_path_factory.mktemp("digits")
    for part, count in (("train", 32), ("test", 10)):
        _, split = load_split(DataConfig(), part)
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
            for index, image in enumerate(split.images[split.labels == label][:count]):
                Image.fromarray(image[0].numpy()).save(folder / part / str(label) / f"{index}.png")
    return f"image-folder:{folder}"
