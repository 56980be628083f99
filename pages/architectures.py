"""Every network as a drawing: its blocks, its tables, what a change to it costs."""

from dashboard.bootstrap import bootstrap, guarded
from dashboard.components.architectures.diagram import diagram_view
from dashboard.components.architectures.panels import architecture_panels
from dashboard.components.architectures.picker import network_picker

bootstrap("architectures")
with guarded():
    choice = network_picker()
    if choice.subject is not None:
        drawn = diagram_view(choice.subject, choice.beside)
        if drawn is not None:
            architecture_panels(choice.subject, drawn)
