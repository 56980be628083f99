"""Below the drawing: tables, the surgery, what blocks cost, the wider family; one open at a time, since a closed one costs nothing."""

from dashboard.components.architectures.blocks import blocks_view
from dashboard.components.architectures.described import Subject
from dashboard.components.architectures.families import families_view
from dashboard.components.architectures.surgery import surgery_view
from dashboard.components.architectures.table import table_view
from dashboard.components.panels import Panel, open_panel
from dashboard.i18n import t
from resnet_core.models import ModelDescription

PANELS = {
    "table": Panel(title="architectures.panel_table", icon=":material/table_rows:", show=table_view),
    "surgery": Panel(title="architectures.panel_surgery", icon=":material/content_cut:", show=surgery_view),
    "blocks": Panel(title="architectures.panel_blocks", icon=":material/widgets:", show=blocks_view),
    "families": Panel(title="architectures.panel_families", icon=":material/scatter_plot:", show=families_view),
}


def architecture_panels(subject: Subject, drawn: ModelDescription) -> None:
    open_panel(t("architectures.panels"), PANELS, subject, drawn, key="architecture_panel")
