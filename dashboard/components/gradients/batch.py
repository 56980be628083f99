"""Which images one backward pass sees, and in which mode."""

import streamlit as st

from dashboard.components.formats import duration
from dashboard.components.gradients.data import Batch
from dashboard.components.image_picker import SPLITS
from dashboard.i18n import t
from dashboard.loading import checkpoint_images, images_for
from dashboard.measuring import seconds_per_image
from resnet_core.data import splits_of
from resnet_core.models import get_entry
from resnet_core.runs import Checkpoint

COUNT = 32
MOST = 5120  # images times layers: the activations of one pass stay below half a gigabyte for 28 x 28 pixels
MODES = ("eval", "train")
NETWORKS = 3  # the chosen one, its twin, and the chosen one before training
BACKWARD = 3  # forward and backward, in forward passes


def batch_picker(checkpoint: Checkpoint) -> Batch:
    """The mode in sight, the sample in a popover. Raises data_missing where the checkpoint's images are not here."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        mode = st.segmented_control(
            t("gradients.mode"),
            MODES,
            format_func=lambda option: t(f"gradients.mode_{option}"),
            default=MODES[0],
            required=True,
            key="gradient_mode",
            help=t("gradients.mode_help"),
        )
        with st.popover(t("gradients.batch"), icon=":material/tune:"):
            split = st.segmented_control(
                t("pick.split"),
                [split for split in SPLITS if split in splits_of(images_for(checkpoint))],
                format_func=lambda option: t(SPLITS[option]),
                default="test",
                required=True,
                key="gradient_split",
            )
            _, images = checkpoint_images(checkpoint, images_for(checkpoint), split)
            most = min(len(images), MOST // get_entry(checkpoint.model_name).depth)
            count = int(st.number_input(t("blocks.count", most=most), 1, most, min(COUNT, most), step=16, key="gradient_count"))
            seed = int(st.number_input(t("blocks.seed"), 0, 2**31 - 1, 0, key="gradient_seed", help=t("gradients.seed_help")))
            seconds = NETWORKS * BACKWARD * count * seconds_per_image(checkpoint)
            st.caption(t("gradients.cost", time=duration(max(1, seconds))))
    return Batch(split=split, count=count, seed=seed, training=mode == "train")
