"""Widgets drawn from a config: type, range and choices come from its settings, words from the locales."""

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.i18n import t
from resnet_core.config import PARTS, Config, Setting


def setting_widget(name: str, key: str, default: Any = None, *, options: Sequence[str] | None = None) -> Any:
    """One setting's widget; its value as the config wants it. `default` replaces the config's own.

    The value stays when the page is left, and the language can change under it. `options` narrows the choices (devices that exist).
    """
    config = _home(name)
    rule = config.settings()[name]
    value = getattr(config(), name) if default is None else default
    label, help = _label(name, rule), t(f"setting.{name}.help")
    shared: dict[str, Any] = {"key": key, "help": help, "persist_state": "session"}
    if rule.choices is not None:
        choices = list(options or rule.choices)
        return st.selectbox(label, choices, index=choices.index(value) if value in choices else 0, **shared)
    kind, optional = _kind(config, name)
    if kind is bool:
        return st.toggle(label, value=bool(value), **shared)
    if kind in (int, float):
        return _number(label, kind, rule, value, optional, shared)
    text = ", ".join(f"{item:g}" for item in value) if isinstance(value, tuple) else (value or "")
    return st.text_input(label, value=text, **shared)


def settings_form(names: Sequence[str], prefix: str, defaults: Mapping[str, Any], *, columns: int = 3) -> dict[str, Any]:
    """The widgets of these settings side by side; name -> value."""
    values: dict[str, Any] = {}
    for start in range(0, len(names), columns):
        for place, name in zip(st.columns(columns), names[start : start + columns], strict=False):
            with place:
                values[name] = setting_widget(name, f"{prefix}_{name}", defaults.get(name))
    return values


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
    hint = typing.get_type_hints(config)[name]
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None)), True
    return (tuple if typing.get_origin(hint) is tuple else hint), False


def _number(label: str, kind: Any, rule: Setting, value: Any, optional: bool, shared: dict[str, Any]) -> Any:
    if kind is int:
        low, high = (None if limit is None else int(limit) for limit in (rule.minimum, rule.maximum))
        found = st.number_input(label, min_value=low, max_value=high, value=value, step=1, **shared)
        return None if found is None else int(found)
    step = 0.1 if not value else 10.0 ** (_exponent(value))
    limits = {
        "min_value": None if rule.minimum is None else float(rule.minimum),
        "max_value": None if rule.maximum is None else float(rule.maximum),
    }
    found = st.number_input(label, **limits, value=None if value is None else float(value), step=min(step, 1.0), format="%g", **shared)
    if found is None and not optional:
        return value
    return found


def _exponent(value: float) -> int:
    """Of ten, so that one step changes the value's first digit: 0.3 -> -1, 0.0005 -> -4."""
    return int(f"{abs(value):e}".partition("e")[2])
