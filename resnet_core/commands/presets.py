"""`presets`: the recipes by name."""

import typer

from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table


def presets(
    markdown: bool = typer.Option(False, "--markdown", help="all settings of each, as docs/presets.md has them"),
    as_json: bool = JSON_OPTION,
) -> None:
    """Recipes by name, for `train --preset NAME`: what each is for, and where it comes from."""
    from resnet_core.presets import PRESETS, presets_document

    if as_json:
        write_json([{"name": p.name, "purpose": p.purpose, "source": p.source, "settings": p.config().flat()} for p in PRESETS.values()])
    elif markdown:
        print(presets_document(), end="")
    else:
        write_table(
            ("name", "network", "data set", "purpose"),
            [(p.name, p.settings["model"], p.settings["dataset"], p.purpose) for p in PRESETS.values()],
        )
        say("Settings and sources: python -m resnet_core presets --markdown")
