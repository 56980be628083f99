"""One colour meaning everywhere."""

from dashboard.charts import theme
from resnet_core.attribution import saving


def test_maps_from_the_command_line_have_the_colours_of_the_pages() -> None:
    assert saving.DIVERGING == theme.DIVERGING


def test_no_two_of_many_runs_look_alike() -> None:
    models = ["resnet20", "plain20"] * 10
    styles = theme.network_styles(models)
    assert len({(style.color, style.dash) for style in styles}) == len(models)
    assert styles[:2] == [theme.network_style("resnet20"), theme.network_style("plain20")]
    residual = {style.dash for style in styles[::2]}
    assert not residual & {style.dash for style in styles[1::2]}, "a dash says which family"
