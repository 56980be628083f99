"""Below the attributions: further comparisons, one open at a time, since a closed one costs nothing."""

from dashboard.components.compare.attributions import Shown
from dashboard.components.compare.calibration import calibration_view
from dashboard.components.compare.curves import curves_view
from dashboard.components.compare.data import Answered
from dashboard.components.compare.many import many_view
from dashboard.components.compare.pair import Pair
from dashboard.components.compare.representation import representation_view
from dashboard.components.compare.worth import worth_view
from dashboard.components.panels import Panel, open_panel
from dashboard.i18n import t

PANELS = {
    "worth": Panel(title="compare.panel_worth", lead="compare.lead_worth", icon=":material/verified:", show=worth_view),
    "many": Panel(title="compare.panel_many", lead="compare.lead_many", icon=":material/apps:", show=many_view),
    "curves": Panel(title="compare.panel_curves", lead="compare.lead_curves", icon=":material/show_chart:", show=curves_view),
    "calibration": Panel(
        title="compare.panel_calibration", lead="compare.lead_calibration", icon=":material/balance:", show=calibration_view
    ),
    "representation": Panel(
        title="compare.panel_representation", lead="compare.lead_representation", icon=":material/grid_on:", show=representation_view
    ),
}


def compare_panels(pair: Pair, answered: Answered, shown: Shown) -> None:
    open_panel(t("compare.panels"), PANELS, pair, answered, shown, key="compare_panel")
