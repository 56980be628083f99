"""The recipe: one by name, or the defaults; what it is, and what was changed of it since."""

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.components.names import network_label
from dashboard.components.training.words import setting_word
from dashboard.forms import as_widget_value
from dashboard.i18n import t
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import display_name, training_images
from resnet_core.errors import UserError
from resnet_core.presets import NOT_OF_A_RECIPE, PRESETS, Difference, Preset, differences
from resnet_core.recipes import recipe_text

CHOSEN = "train_preset"
DEFAULTS = "defaults"
FEW = 6  # changes that are read out; more are counted


def recipe_choice(dataset: str) -> None:
    """Choosing one puts its settings into the form; afterwards each of them can be changed."""
    st.selectbox(
        t("recipe.label"),
        [DEFAULTS, *PRESETS],
        format_func=lambda name: t("recipe.defaults") if name == DEFAULTS else name,
        key=CHOSEN,
        help=t("recipe.help"),
        on_change=_put_into_form,
        args=(dataset,),
        persist_state="session",
    )
    name = st.session_state[CHOSEN]
    place = st.container()  # always there: what comes and goes would have everything below drawn anew
    if name in PRESETS:
        place.caption(t(f"preset.{_key(name)}.purpose"), help=t(f"preset.{_key(name)}.source"))


def recipe_changes(configs: Sequence[RunConfig]) -> None:
    """What the form holds that the recipe does not say, setting by setting, and the way back."""
    name, first = st.session_state[CHOSEN], configs[0]
    recipe = (
        PRESETS[name].unchanged(first, images=_images(first.data)) if name in PRESETS else RunConfig.from_flat({"model": first.model.model})
    )
    changed = differences(first, recipe)
    with st.container(key="train_recipe_changes"):
        if changed:
            title = t("recipe.defaults") if name == DEFAULTS else name
            lines = [_line(change) for change in changed]
            st.caption(t("recipe.changed", name=title) + "  \n" + "  \n".join(lines[:FEW]))
            if len(lines) > FEW:
                with st.popover(t("recipe.more", count=len(lines) - FEW), type="tertiary"):
                    st.caption("  \n".join(lines[FEW:]))
        else:
            st.caption(t("recipe.unchanged") if name in PRESETS else t("recipe.defaults_unchanged"))
        if name in PRESETS and (written := _written_for(PRESETS[name], first)):
            st.caption(written)
    with st.container(horizontal=True, gap="small"):
        if changed:
            st.button(
                t("recipe.back"),
                icon=":material/undo:",
                key="train_preset_back",
                on_click=_put_into_form,
                args=(first.data.dataset,),
                kwargs={"keep_networks": True},
                type="tertiary",
            )
        st.download_button(
            t("recipe.save"), recipe_text(first), "residual-lens.toml", "application/toml", icon=":material/download:", key="train_recipe_save",
            help=t("recipe.save_help"), on_click="ignore", type="tertiary",
        )  # fmt: skip


def _written_for(preset: Preset, chosen: RunConfig) -> str:
    """For which network and data the recipe was written, where others are chosen; nothing where it is these."""
    own = preset.config()
    if (own.model.model, own.data.dataset) == (chosen.model.model, chosen.data.dataset):
        return ""
    return t("recipe.written_for", network=network_label(own.model.model), dataset=display_name(own.data.dataset))


def _line(change: Difference) -> str:
    recipe, chosen = (setting_word(value, change.setting) for value in (change.recipe, change.chosen))
    return t("recipe.change", setting=t(f"setting.{change.setting}.label"), recipe=recipe, chosen=chosen)


def _key(name: str) -> str:
    return name.replace("-", "_")


def _put_into_form(dataset: str, *, keep_networks: bool = False) -> None:
    """The recipe's settings; its network too, unless those that are chosen are to stay or are ones that it speaks of."""
    name, networks = st.session_state[CHOSEN], st.session_state.get("train_models") or []
    if name in PRESETS and not keep_networks:
        own = PRESETS[name].config().model.model
        if not {own, *PRESETS[name].warmup} & set(networks):
            st.session_state["train_models"] = networks = [own]
    for setting, value in recipe_values(name, dataset, networks).items():
        if setting not in NOT_OF_A_RECIPE:
            st.session_state[f"train_{setting}"] = as_widget_value(setting, value)


def recipe_values(name: str, dataset: str, networks: Sequence[str]) -> dict[str, Any]:
    """Every setting but the network and the data as the recipe, or the defaults, have it for these."""
    if name not in PRESETS:
        values = RunConfig().flat()
    else:
        preset = PRESETS[name]
        values = preset.config(images=_training_images(preset, dataset)).flat() | {"warmup_epochs": _warmup(preset, networks, dataset)}
    return {setting: value for setting, value in values.items() if setting not in ("model", "dataset")}


def follow_networks(dataset: str) -> None:
    """Other networks are chosen: where the warm-up is one of the recipe's, it becomes the one for them. A person's own stays."""
    preset = PRESETS.get(st.session_state.get(CHOSEN, DEFAULTS))
    if preset is None or not preset.warmup:
        return
    known = {_warmup(preset, [network], dataset) for network in ("", *preset.warmup)}
    if any(math.isclose(st.session_state.get("train_warmup_epochs", 0.0), value, abs_tol=1e-3) for value in known):
        st.session_state["train_warmup_epochs"] = _warmup(preset, st.session_state["train_models"], dataset)


def _warmup(preset: Preset, networks: Sequence[str], dataset: str) -> float:
    """The longest that the recipe has for any of them, in epochs."""
    images = _training_images(preset, dataset)
    named = [network for network in networks if network in preset.warmup]
    return max(preset.config({"model": network} if network else {}, images=images).train.warmup_epochs for network in ("", *named))


def _training_images(preset: Preset, dataset: str) -> int | None:
    return _images(DataConfig(dataset=dataset, valid_fraction=preset.config().data.valid_fraction))


def _images(config: DataConfig) -> int | None:
    try:
        return training_images(config)
    except UserError:  # the form says what is wrong with the data set
        return None
