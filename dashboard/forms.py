"""Widgets drawn from a config: type, range and choices come from its settings, words from the locales."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.i18n import error_text, has_text, t
from resnet_core.config import PARTS, Config, Setting
from resnet_core.errors import UserError


def setting_widget(
    name: str, key: str, default: Any = None, *, options: Sequence[str] | None = None, config: type[Config] | None = None
) -> Any:
    """One setting's widget; its value as the config wants it, or what is wrong with it said below. `default` replaces the config's own.

    The value stays when the page is left, and the language can change under it. `options` narrows the choices (devices that exist), or
    names them where the config cannot (a network's layers). Without `config`, the setting is one of a run's.
    """
    config = config or _home(name)
    rule = config.settings()[name]
    if key not in st.session_state:
        st.session_state[key] = as_widget_value(name, getattr(config(), name) if default is None else default, config=config)
    label, help = _label(name, rule), t(f"setting.{name}.help")
    shared: dict[str, Any] = {"key": key, "help": help, "persist_state": "session"}
    found = _drawn(config, name, label, rule, options, shared)
    try:
        config(**{name: found})
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
    return found


def as_widget_value(name: str, value: Any, *, config: type[Config] | None = None) -> Any:
    """A setting's value as its widget keeps it under the widget's key; writing it there changes what the widget shows."""
    kind, optional = _kind(config or _home(name), name)
    if value is None:
        return None if kind in (int, float) and optional else ""
    if isinstance(value, tuple):
        return ", ".join(item if isinstance(item, str) else f"{item:g}" for item in value)
    return float(value) if kind is float else value


def _drawn(config: type[Config], name: str, label: str, rule: Setting, options: Sequence[str] | None, shared: dict[str, Any]) -> Any:
    """Ranges are left to the config, whose sentence is the reader's: a browser would say it in its own words and keep the old value."""
    key = shared["key"]
    if rule.choices is not None or options is not None:
        choices = list(options or rule.choices or ())
        if st.session_state[key] not in choices:  # chosen for another network
            own = getattr(config(), name)
            st.session_state[key] = own if own in choices else choices[0]
        return st.selectbox(label, choices, format_func=_choice, **shared)
    kind, optional = _kind(config, name)
    if kind is bool:
        return st.toggle(label, **shared)
    if kind not in (int, float):
        return st.text_input(label, **shared)
    empty: dict[str, Any] = {"value": None} if optional else {}
    if kind is int:
        found = st.number_input(label, step=1, **empty, **shared)
        return None if found is None else int(found)
    value = st.session_state[key]
    step = 0.1 if not value else min(10.0 ** _exponent(value), 1.0)
    return st.number_input(label, step=step, format="%g", **empty, **shared)


def settings_form(names: Sequence[str], prefix: str, defaults: Mapping[str, Any], *, columns: int = 3) -> dict[str, Any]:
    """The widgets of these settings side by side; name -> value."""
    values: dict[str, Any] = {}
    for start in range(0, len(names), columns):
        for place, name in zip(st.columns(columns), names[start : start + columns], strict=False):
            with place:
                values[name] = setting_widget(name, f"{prefix}_{name}", defaults.get(name))
    return values


def _choice(option: str) -> str:
    return t(f"choice.{option}") if has_text(f"choice.{option}") else option


def _home(name: str) -> type[Config]:
    return next(config for config in PARTS.values() if name in config.settings())


def _label(name: str, rule: Setting) -> str:
    label = t(f"setting.{name}.label")
    if not rule.unit:
        return label
    unit = t(f"unit.{rule.unit}")
    return f"{label} ({unit})"


def _kind(config: type[Config], name: str) -> tuple[Any, bool]:
    """The type of a field without None, and whether None is allowed."""
    hint = config.hints()[name]
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None)), True
    return (tuple if typing.get_origin(hint) is tuple else hint), False


def _exponent(value: float) -> int:
    """Of ten, so that one step changes the value's first digit: 0.3 -> -1, 0.0005 -> -4."""
    return int(f"{abs(value):e}".partition("e")[2])
