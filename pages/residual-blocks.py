"""One image inside one block, and all blocks beside each other."""

import streamlit as st

from dashboard.bootstrap import bootstrap
from dashboard.components.block_panels import block_panels
from dashboard.components.block_picker import block_picker
from dashboard.components.distribution_view import distribution_view
from dashboard.components.image_picker import image_picker
from dashboard.components.residual_view import residual_view
from dashboard.components.run_picker import run_picker
from dashboard.components.strip_view import strip_view

bootstrap("residual-blocks")
networks, blocks = st.columns([3, 1])
with networks:
    checkpoint = run_picker()
if checkpoint is not None:
    with blocks:
        block = block_picker(checkpoint)
    controls, pictures = st.columns([1, 3.5], gap="medium")
    with controls:
        image = image_picker(checkpoint)
    with pictures:
        maps = residual_view(checkpoint, image, block)
        strip_view(checkpoint, image.dataset, block)
    distribution_view(maps)
    block_panels(checkpoint, image)
