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
    "there are none yet": "phrase.none_yet",
    "it has none yet": "phrase.has_none_yet",
    "'python -m resnet_core runs list' shows them all": "phrase.runs_list",
    "the file is empty": "phrase.file_empty",
    "it is empty": "phrase.is_empty",
    "the end of the file is missing": "phrase.end_missing",
    "it holds no state_dict": "phrase.no_state_dict",
    "not an image in a known format": "phrase.no_image",
    "it is another program's database": "phrase.other_database",
    "it is a pickle, which could run code when it is opened": "phrase.pickle",
    "its metadata is not what was saved": "phrase.metadata_changed",
    "its weights are not the ones that were saved": "phrase.weights_changed",
    "its weights do not fit its network": "phrase.weights_misfit",
    "its checksum does not match": "phrase.checksum",
    "its content is not a state": "phrase.no_state",
    "it is not a whole zip file": "phrase.no_zip",
    "it holds a name twice, or too many of them": "phrase.names",
    "it is encrypted": "phrase.encrypted",
    "it is too large": "phrase.too_large",
    "its error is not one of ours": "phrase.unknown_error",
    "gradient_norms in steps are not of the same parts": "phrase.norm_parts",
    "notices holds a note that cannot be said": "phrase.unsayable_note",
}
PATTERNS = {
    r"did you mean (?P<names>.+)": "phrase.did_you_mean",
    r"known: (?P<names>.+)": "phrase.known",
    r"between (?P<low>\S+) and (?P<high>\S+)": "phrase.between",
    r"at least (?P<low>\S+)": "phrase.at_least",
    r"at least (?P<low>\S+) \((?P<each>\S+) for each of (?P<count>\S+) processes\)": "phrase.at_least_each",
    r"at most (?P<high>\S+)": "phrase.at_most",
    r"it holds (?P<name>.+), which no exported run has": "phrase.strange_member",
    r"(?P<name>\S+) is missing": "phrase.member_missing",
    r"(?P<name>\S+) is too large": "phrase.member_too_large",
    r"(?P<name>\S+) is damaged or no checkpoint of ours": "phrase.member_damaged",
    r"(?P<name>\S+) is of another network than the run": "phrase.other_network",
    r"(?P<name>.+) (?:is not (?:a number|text|an object|valid|JSON)|does not hold an object|is not a list of rows .+)": "phrase.not_valid",
    r"(?P<name>.+) comes twice": "phrase.twice",
    r"(?P<name>.+) holds an unknown note": "phrase.unknown_note",
    r"its result has (?P<name>\S+) without what comes with it": "phrase.result_parts",
    r"its format is (?P<found>.+), not (?P<wanted>.+)": "phrase.format",
    r"its metadata lacks (?P<name>.+)": "phrase.metadata_lacks",
    r"it is larger than (?P<bytes>\S+) bytes": "phrase.larger",
    r"(?P<name>\S+) holds none": "phrase.holds_none",
    r"its settings are not valid: (?P<error>.+)": "phrase.settings_invalid",
    r"its metadata: (?P<error>.+)": "phrase.metadata_invalid",
    r"(?P<name>.+) is no table: write \[(?P<part>.+)\]": "phrase.no_table",
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
    text = t(key if has_text(key) else f"note.{code}", **{name: _in_words(name, value) for name, value in values.items()})
    return text.replace("](", "]\\(")  # inside Markdown, what a link or a file says must draw no picture and no link


def _in_words(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if name in ("field", "status"):
        key = f"setting.{value}.label" if name == "field" else f"status.{value}"
        return t(key) if has_text(key) else value
    if name == "reason" and "; " in value:  # of several files
        return t("phrase.and").join(str(_in_words(name, part)) for part in value.split("; "))
    if name == "reason" and (file := re.fullmatch(r"(?P<file>[\w-]+\.\w+): (?P<reason>.+)", value)):
        return t("phrase.of_file", file=file["file"], reason=_in_words(name, file["reason"]))
    if value in PHRASES:
        return t(PHRASES[value])
    for pattern, key in PATTERNS.items():
        if match := re.fullmatch(pattern, value):
            return t(key, **match.groupdict())
    return value
