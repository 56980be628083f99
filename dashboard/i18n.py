"""Every visible word: `t("train.start")` in the reader's language.

The language is the one in the link (`?lang=zh`), else the one chosen in the frame, else the browser's, else English.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import streamlit as st

from dashboard.state import LANGUAGE
from resnet_core.errors import UserError

LANGUAGES = {"en": "English", "zh": "中文"}
LOCALES = Path(__file__).parent / "locales"

# The core says these in English inside the values of an error; each has its own sentence in `phrase`.
PHRASES = {
    "data set": "phrase.data_set",
    "network": "phrase.network",
    "benchmark": "phrase.benchmark",
    "preset": "phrase.preset",
    "method": "phrase.method",
    "class": "phrase.class",
    "a whole number": "phrase.whole_number",
    "a whole number of bytes": "phrase.whole_number_of_bytes",
    "a number": "phrase.number",
    "true or false": "phrase.true_or_false",
    "key=value": "phrase.key_value",
    "a list of numbers": "phrase.list_of_numbers",
    "a list of names": "phrase.list_of_names",
    "text": "phrase.text",
}
PATTERNS = {
    r"did you mean (?P<names>.+)": "phrase.did_you_mean",
    r"known: (?P<names>.+)": "phrase.known",
    r"between (?P<low>\S+) and (?P<high>\S+)": "phrase.between",
    r"at least (?P<low>\S+)": "phrase.at_least",
    r"at least (?P<low>\S+) \((?P<each>\S+) for each of (?P<count>\S+) processes\)": "phrase.at_least_each",
    r"at most (?P<high>\S+)": "phrase.at_most",
}


@cache
def sentences(language: str) -> Mapping[str, str]:
    """All sentences of a language under their full keys."""
    return dict(_flat(json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8")), ""))


def _flat(tree: Mapping[str, object], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in tree.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", str(value))]
    return found


def language_of_browser() -> str:
    locale = (st.context.locale or "en").lower()
    return next((code for code in LANGUAGES if locale.startswith(code)), "en")


def current_language() -> str:
    return st.session_state.get(LANGUAGE) or "en"


def t(key: str, **values: object) -> str:
    """The sentence of `key` in the reader's language; a missing key raises KeyError (a test finds it first)."""
    return sentences(current_language())[key].format(**values)


def has_text(key: str) -> bool:
    return key in sentences(current_language())


def error_text(error: UserError) -> str:
    return message_text(error.code, error.values)


def message_text(code: str, values: Mapping[str, object]) -> str:
    """The sentence of a code that the core stored: of an error, else of a note."""
    key = f"error.{code}"
    return t(key if has_text(key) else f"note.{code}", **{name: _in_words(name, value) for name, value in values.items()})


def _in_words(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if name == "field":
        return t(f"setting.{value}.label") if has_text(f"setting.{value}.label") else value
    if value in PHRASES:
        return t(PHRASES[value])
    for pattern, key in PATTERNS.items():
        if match := re.fullmatch(pattern, value):
            return t(key, **match.groupdict())
    return value
