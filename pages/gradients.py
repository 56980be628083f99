"""How gradients come back through a network: how large, by which path, over a training, and before it by depth."""

import streamlit as st

from dashboard.bootstrap import bootstrap, guarded
from dashboard.components.block_picker import block_picker
from dashboard.components.gradients.batch import batch_picker
from dashboard.components.gradients.depth import depth_view
from dashboard.components.gradients.history import history_view
from dashboard.components.gradients.norms import gradient_view
from dashboard.components.gradients.panels import gradient_panels
from dashboard.components.gradients.split import gradient_split
from dashboard.components.run_picker import run_picker
from dashboard.loading import has_blocks

bootstrap("gradients")
networks, blocks, batches = st.columns([2.2, 1, 1.4])
with networks:
    checkpoint = run_picker()
if checkpoint is not None:
    with guarded():
        with blocks:
            block = block_picker(checkpoint) if has_blocks(checkpoint) else None
        with batches:
            batch = batch_picker(checkpoint)
        measured = gradient_view(checkpoint, batch, block)
        if block is not None:
            gradient_split(measured, batch, block)
    with guarded():
        history_view(checkpoint)
with guarded():
    depth_view()
if checkpoint is not None:
    with guarded():
        gradient_panels(checkpoint)
