"""Every run: find it, lay its curves over others', name it, take its weights away, delete it."""

from dashboard.bootstrap import bootstrap
from dashboard.components.runs.details import show_details
from dashboard.components.runs.importing import offer_import
from dashboard.components.runs.overlay import show_overlay
from dashboard.components.runs.shipped_list import show_shipped
from dashboard.components.runs.table import choose_runs, offer_undo

bootstrap("runs")
offer_undo()
chosen = choose_runs()
if chosen:
    show_overlay(chosen)
    show_details(chosen)
offer_import()
show_shipped()
