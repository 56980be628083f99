"""Numbers as people read them, in the reader's language."""

import re

from dashboard.i18n import t

# For columns of numbers from 0 to 100: Streamlit's own "percent" drops zeros at the end, so digits would not stand below digits.
PERCENT = "%.2f%%"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return t("time.seconds", seconds=whole)
    if whole < 3600:
        return t("time.minutes", minutes=whole // 60, seconds=whole % 60)
    return t("time.hours", hours=whole // 3600, minutes=whole % 3600 // 60)


def device_words(name: str) -> str:
    """A device's name as records have it, the CPU's in the reader's language."""
    return re.sub(r"CPU, (\d+) cores?", lambda found: t("device.cpu_one" if found[1] == "1" else "device.cpu", cores=found[1]), name)


def literal(text: str) -> str:
    """A person's own words inside Markdown: every sign stands for itself."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!$:~<>|])", r"\\\1", text)


def percent(share: float | None, digits: int = 2) -> str:
    """`99.41%`, and a dash where nothing was measured yet."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def number(value: float | None, digits: int = 3) -> str:
    """So many significant digits, or a dash."""
    return "–" if value is None else f"{value:.{digits}g}"
