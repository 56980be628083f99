"""32 training images beside what augmentation makes of them, before anything is started."""

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from dashboard.i18n import t
from dashboard.memory import tidied
from resnet_core.config import AugmentConfig, DataConfig, RunConfig, TrainConfig
from resnet_core.data import DataSpec, Split, load_split, training_images
from resnet_core.training.preview import SHOWN, as_seen, first_images

COLUMNS = 8
WIDTH = 640  # px of a whole picture, at least: it is shown at half of that
GAP = 1  # px of the images' own


def augmented_pictures(config: RunConfig) -> None:
    """Closed until someone wants to see them: the training images are read for it."""
    place = st.expander(t("pictures.title", count=SHOWN), icon=":material/photo_library:", key="train_pictures", on_change="rerun")
    if not place.open:
        return
    with place, st.spinner(t("pictures.reading")):
        spec, first = _first_images(config.data, config.train.seed, config.train.batch_size, config.augment.mixup > 0)
        before = _grid(first.images[:SHOWN].float() / 255)
        st.image(before, width="stretch", caption=t("pictures.before"))
        if config.augment == AugmentConfig():
            st.caption(t("pictures.unchanged"))
            return
        after = as_seen(config, first, spec, count=min(config.train.batch_size, training_images(config.data)))
        st.image(_grid(after), width="stretch", caption=t("pictures.after"))
        st.caption(t("pictures.read", seed=config.train.seed))


@st.cache_data(max_entries=16, show_spinner=False)
@tidied
def _first_images(data: DataConfig, seed: int, batch_size: int, mixes: bool) -> tuple[DataSpec, Split]:
    """Only these are kept; the rest of the split is let go."""
    spec, split = load_split(data, "train")
    config = RunConfig(data=data, augment=AugmentConfig(mixup=float(mixes)), train=TrainConfig(seed=seed, batch_size=batch_size))
    return spec, first_images(config, split)


def _grid(images: torch.Tensor) -> NDArray[np.uint8]:
    """Rows of COLUMNS images (N, C, H, W) in [0, 1] -> (height, width, 3), every pixel a square of whole screen pixels."""
    count, _, height, width = images.shape
    rows = -(-count // COLUMNS)
    whole = torch.full((rows, COLUMNS, height + GAP, width + GAP, 3), 0.5)
    colours = images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    whole.view(rows * COLUMNS, height + GAP, width + GAP, 3)[:count, :height, :width] = colours
    picture = whole.permute(0, 2, 1, 3, 4).reshape(rows * (height + GAP), COLUMNS * (width + GAP), 3)[:-GAP, :-GAP]
    pixels = (picture * 255).round().to(torch.uint8).numpy()
    times = -(-WIDTH // pixels.shape[1])
    return np.ascontiguousarray(pixels.repeat(times, 0).repeat(times, 1))
