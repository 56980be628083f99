"""Draw a digit, see what the networks see of it, and what they decide."""

from dashboard.bootstrap import bootstrap
from dashboard.components.sketch.desk import sketch_desk

bootstrap("sketch")
sketch_desk()
