"""One colour meaning everywhere."""

from dashboard.charts import theme
from resnet_core.attribution import saving


def test_maps_from_the_command_line_have_the_colours_of_the_pages() -> None:
    assert saving.DIVERGING == theme.DIVERGING
