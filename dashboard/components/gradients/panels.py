"""Below the gradients of one network: further into them, one view open at a time, since a closed one costs nothing."""

from dashboard.components.gradients.paths import paths_view
from dashboard.components.gradients.shatter import shatter_view
from dashboard.components.panels import Panel, open_panel
from dashboard.i18n import t
from resnet_core.runs import Checkpoint

PANELS = {
    "paths": Panel(title="paths.title", icon=":material/alt_route:", show=paths_view),
    "shatter": Panel(title="shatter.title", icon=":material/grain:", show=shatter_view),
}


def gradient_panels(checkpoint: Checkpoint) -> None:
    open_panel(t("gradients.further"), PANELS, checkpoint, key="gradient_further", heading=True)
