"""What is here and ready, and where to go next."""

from dashboard.bootstrap import bootstrap
from dashboard.components.readiness import show_machine, show_next_steps

bootstrap("home")
show_machine()
show_next_steps()
