"""Every run: find it, lay its curves over others', name it, take its weights away, delete it."""

from dashboard.bootstrap import bootstrap
from dashboard.components.run_details import show_details
from dashboard.components.run_import import offer_import
from dashboard.components.run_overlay import show_overlay
from dashboard.components.runs_table import choose_runs, offer_undo
from dashboard.components.shipped_list import show_shipped

bootstrap("runs")
offer_undo()
chosen = choose_runs()
if chosen:
    show_overlay(chosen)
    show_details(chosen)
offer_import()
show_shipped()
