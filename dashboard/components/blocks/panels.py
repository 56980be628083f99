"""Below the picture of one block: experiments on the whole network, one open at a time, since a closed one costs nothing."""

from dashboard.components.blocks.decision import decision_view
from dashboard.components.blocks.history import history_view
from dashboard.components.blocks.lesions import lesion_view
from dashboard.components.blocks.verdicts import verdict_view
from dashboard.components.panels import Panel, open_panel
from dashboard.i18n import t
from dashboard.state import ShownImage
from resnet_core.runs import Checkpoint

PANELS = {
    "lesion": Panel(title="lesion.title", lead="lesion.lead", icon=":material/power_settings_new:", show=lesion_view),
    "decision": Panel(title="decision.title", lead="decision.lead", icon=":material/psychology:", show=decision_view),
    "verdict": Panel(title="verdict.title", lead="verdict.lead", icon=":material/stethoscope:", show=verdict_view),
    "history": Panel(title="history.title", lead="history.lead", icon=":material/timeline:", show=history_view),
}


def block_panels(checkpoint: Checkpoint, image: ShownImage) -> None:
    open_panel(t("lesion.panels"), PANELS, checkpoint, image, key="panel", none_open=t("lesion.panels_read"))
