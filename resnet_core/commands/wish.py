"""The run that a command line asks for: a preset, then a recipe file over it, then single settings over both."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from resnet_core.commands.output import Progress, say

if TYPE_CHECKING:
    from resnet_core.config import RunConfig
    from resnet_core.data import DataSpec

PRESET_OPTION = typer.Option(None, metavar="NAME", help="a recipe by name ('presets' lists them); settings given beside it win")
RECIPE_OPTION = typer.Option(None, metavar="FILE.toml", help="settings from a file with tables [data], [model], [augment], [train]")
SET_OPTION = typer.Option([], "--set", metavar="KEY=VALUE", help="any setting, such as learning_rate=0.05 or crop_padding=2")


def wished(preset: str | None, recipe: Path | None, settings: Mapping[str, Any]) -> "RunConfig":
    """What of a preset was changed is said on stderr; settings that are None were not given."""
    from resnet_core.config import RunConfig
    from resnet_core.data import training_images
    from resnet_core.presets import differences, get_preset, shown
    from resnet_core.recipes import read_recipe

    chosen = {**(read_recipe(recipe) if recipe is not None else {}), **{key: value for key, value in settings.items() if value is not None}}
    if preset is None:
        return RunConfig.from_flat(chosen)
    found = get_preset(preset)
    images = training_images(found.config(chosen).data)
    config = found.config(chosen, images=images)
    changed = ", ".join(
        f"{d.setting} {shown(d.recipe)} -> {shown(d.chosen)}" for d in differences(config, found.unchanged(config, images=images))
    )
    say(f"Preset {preset} for {config.train.epochs} epochs" + (f", changed: {changed}" if changed else ""))
    return config


def opened(config: "RunConfig") -> "DataSpec":
    """What the data are, an image folder read with progress; settings that make no sense for them are warned about on stderr.

    Weights to start from are looked at too, and published ones fetched.
    """
    from resnet_core.data import data_root, open_source
    from resnet_core.fitness import WARNINGS, warnings_for
    from resnet_core.models.pretrained import pretrained_state
    from resnet_core.runs.transfer import PRETRAINED, plan_start

    progress = Progress()

    def show(done: int, total: int | None) -> None:
        progress.show(f"{config.data.dataset}: {done:,} of {total or 0:,} images read")

    try:
        spec = open_source(config.data, data_root(), show).spec
    finally:
        progress.end()
    for code in warnings_for(config, spec):
        say(f"Warning: {WARNINGS[code]}")
    if config.train.start_from is not None:
        plan_start(config, spec)
        if config.train.start_from == PRETRAINED:
            pretrained_state(config.model, spec)  # fetched now, where a person sees what is wrong with it
    return spec
