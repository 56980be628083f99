"""Both languages say the same things, code asks for nothing they lack, and they hold nothing nobody asks for."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.i18n import LANGUAGES, PATTERNS, PHRASES, error_text, message_text, sentences, t
from resnet_core.config import PARTS
from resnet_core.errors import MESSAGES, UserError, nearest

ROOT = Path(__file__).parents[2]
CODE = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "dashboard").rglob("*.py")]

# Families of keys whose members come from the core (codes of errors, names of settings), not from the dashboard's own code.
COMPOSED = ("error.", "note.", "phrase.", "page.", "setting.", "unit.", "status.", "warning.")


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def keys_in_code() -> Iterator[tuple[str, Path]]:
    """Every argument of t(), and every other text that looks like a key of ours (it is handed on to t() somewhere)."""
    sections = "|".join({key.split(".")[0] for key in sentences("en")})
    for file in CODE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t" and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), file
            elif (
                isinstance(node, ast.Constant) and id(node) not in inside and re.fullmatch(rf"({sections})(\.[a-z_0-9]+)+", str(node.value))
            ):
                yield str(node.value), file


def patterns_in_code() -> Iterator[re.Pattern[str]]:
    """What t(f"train.asked_{command}") asks for: any key of that shape."""
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "t" and isinstance(node.args[0], ast.JoinedStr):
                parts = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[a-z_0-9.]+" for part in node.args[0].values]
                yield re.compile("".join(parts))


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, chinese = sentences("en"), sentences("zh")
    assert set(english) == set(chinese)
    for key, sentence in english.items():
        assert placeholders(sentence) == placeholders(chinese[key]), key


def test_no_sentence_is_empty_or_left_in_english() -> None:
    for key, sentence in sentences("zh").items():
        assert sentence.strip(), key
        prose = re.sub(r"\{[^}]*\}|`[^`]*`", "", sentence)
        if re.search(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", prose):  # three English words in a row
            assert re.search(r"[\u4e00-\u9fff]", sentence), f"{key}: {sentence}"


def test_code_asks_only_for_keys_that_exist() -> None:
    known = set(sentences("en"))
    missing = {(key, str(file.relative_to(ROOT))) for key, file in keys_in_code() if key not in known}
    assert not missing


def test_no_sentence_is_unused() -> None:
    used, patterns = {key for key, _ in keys_in_code()}, tuple(patterns_in_code())
    asked = [key for key in sentences("en") if key in used or key.startswith(COMPOSED) or any(p.fullmatch(key) for p in patterns)]
    assert not set(sentences("en")) - set(asked)


def test_every_composed_key_has_at_least_one_sentence() -> None:
    for pattern in patterns_in_code():
        assert any(pattern.fullmatch(key) for key in sentences("en")), pattern.pattern


def test_settings_have_the_core_s_help_and_all_of_them_a_label() -> None:
    for part in PARTS.values():
        for name, rule in part.settings().items():
            assert sentences("en")[f"setting.{name}.help"] == rule.help
            assert sentences("zh")[f"setting.{name}.label"]
            assert not rule.unit or sentences("zh")[f"unit.{rule.unit}"]


def test_errors_are_the_core_s_own_in_english() -> None:
    ours = {key.removeprefix("error."): text for key, text in sentences("en").items() if key.startswith("error.")}
    assert ours == MESSAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_can_be_said(language: str) -> None:
    for code, sentence in MESSAGES.items():
        text = sentences(language)[f"error.{code}"]
        assert text.format(**dict.fromkeys(placeholders(sentence), 1))


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.i18n.current_language", lambda: "zh")


def test_english_error_text_is_the_exception_s_own() -> None:
    error = UserError("unknown_name", what="network", value="resnet21", hint=nearest("resnet21", ["resnet20", "vgg16"]))
    assert error_text(error) == str(error)


@pytest.mark.usefixtures("chinese")
def test_english_pieces_inside_an_error_are_said_in_chinese() -> None:
    unknown = UserError("unknown_name", what="network", value="resnet21", hint=nearest("resnet21", ["resnet20", "vgg16"]))
    assert error_text(unknown) == "没有名为 'resnet21' 的网络；是不是想写 resnet20。"
    ranged = UserError("out_of_range", field="epochs", value=0, range="between 1 and 10000")
    assert "在 1 与 10000 之间" in error_text(ranged)
    assert message_text("run_missing", {"value": "x", "hint": "known: a, b"}) == "没有训练 'x'；可用的有：a, b。"


def texts_of(expression: ast.expr) -> Iterator[str]:
    """The texts that an expression may give; what is filled into a sentence counts as 1."""
    if isinstance(expression, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in expression.values)
    elif isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        yield expression.value
    else:
        for part in ast.iter_child_nodes(expression):
            if isinstance(part, ast.expr):
                yield from texts_of(part)


def _is_text(expression: ast.expr) -> bool:
    """Whether it is written out in the code, rather than a library's words."""
    return isinstance(expression, ast.JoinedStr | ast.Constant)


def test_every_english_piece_of_the_core_has_its_phrase() -> None:
    """`what=`, `kind=`, `range=`, and `reason=` where it is ours, of each UserError in the core, why archives and states are not let in, and
    the ranges of all settings."""
    said: set[str] = {rule.range for part in PARTS.values() for rule in part.settings().values() if rule.minimum is not None}
    for file in (ROOT / "resnet_core").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError":
                for word in node.keywords:
                    if word.arg in ("what", "kind", "range") or (word.arg == "reason" and _is_text(word.value)):
                        said |= set(texts_of(word.value))
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Refused", "DamagedState") and _is_text(node.args[0]):
                said |= set(texts_of(node.args[0]))
    said -= {"1: 1"}  # a file and its own reason, taken apart
    lacking = {text for text in said if text not in PHRASES and not any(re.fullmatch(pattern, text) for pattern in PATTERNS)}
    assert not lacking


def test_a_missing_key_is_noticed() -> None:
    with pytest.raises(KeyError):
        t("no.such.key")
