"""One image inside one block, and all blocks beside each other."""

import streamlit as st

from dashboard.bootstrap import bootstrap
from dashboard.components.architectures.links import diagram_link
from dashboard.components.block_picker import block_picker
from dashboard.components.blocks.distributions import distribution_view
from dashboard.components.blocks.layers import layers_view
from dashboard.components.blocks.maps import residual_view
from dashboard.components.blocks.panels import block_panels
from dashboard.components.blocks.sources import DRAWN, chosen_source, shown_image
from dashboard.components.blocks.strip import strip_view
from dashboard.components.run_picker import run_picker
from dashboard.loading import has_blocks

bootstrap("residual-blocks")
networks, blocks = st.columns([3, 1])
with networks:
    checkpoint = run_picker()
if checkpoint is not None and not has_blocks(checkpoint):
    controls, pictures = st.columns([1, 3.5], gap="medium")
    with controls:
        image = shown_image(checkpoint)
    with pictures:
        layers_view(checkpoint, image)
elif checkpoint is not None:
    with blocks, st.container(horizontal=True, vertical_alignment="bottom", wrap=False, gap="small"):
        block = block_picker(checkpoint)
        diagram_link(checkpoint, block)
    controls, pictures = st.columns([1.5, 3.2] if chosen_source(checkpoint) == DRAWN else [1, 3.5], gap="medium")
    with controls:
        image = shown_image(checkpoint)
    with pictures:
        maps = residual_view(checkpoint, image, block)
        strip_view(checkpoint, image.dataset, block)
    distribution_view(maps)
    block_panels(checkpoint, image)
