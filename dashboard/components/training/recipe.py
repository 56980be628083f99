"""The recipe: one by name, or the defaults; what it is, and what was changed of it since."""

from collections.abc import Sequence

import streamlit as st

from dashboard.forms import as_widget_value
from dashboard.i18n import t
from resnet_core.config import DataConfig, RunConfig
from resnet_core.data import training_images
from resnet_core.errors import UserError
from resnet_core.presets import NOT_OF_A_RECIPE, PRESETS, Difference, differences, shown
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
    with st.container(horizontal=True, gap="small"):
        if changed:
            st.button(
                t("recipe.back"),
                icon=":material/undo:",
                key="train_preset_back",
                on_click=_put_into_form,
                args=(first.data.dataset,),
                type="tertiary",
            )
        st.download_button(
            t("recipe.save"), recipe_text(first), "residual-lens.toml", "application/toml", icon=":material/download:", key="train_recipe_save",
            help=t("recipe.save_help"), on_click="ignore", type="tertiary",
        )  # fmt: skip


def _line(change: Difference) -> str:
    return t("recipe.change", setting=t(f"setting.{change.setting}.label"), recipe=_word(change.recipe), chosen=_word(change.chosen))


def _word(value: object) -> str:
    """None, true and false in the reader's words."""
    return t(f"form.{shown(value)}") if value is None or isinstance(value, bool) else shown(value)


def _key(name: str) -> str:
    return name.replace("-", "_")


def _put_into_form(dataset: str) -> None:
    name = st.session_state[CHOSEN]
    config = RunConfig()
    if name in PRESETS:
        preset = PRESETS[name]
        config = preset.config(images=_images(DataConfig(dataset=dataset, valid_fraction=preset.config().data.valid_fraction)))
        if config.model.model not in st.session_state.get("train_models", ()):
            st.session_state["train_models"] = [config.model.model]
    for setting, value in config.flat().items():
        if setting not in (*NOT_OF_A_RECIPE, "model"):
            st.session_state[f"train_{setting}"] = as_widget_value(setting, value)


def _images(config: DataConfig) -> int | None:
    try:
        return training_images(config)
    except UserError:  # the form says what is wrong with the data set
        return None
