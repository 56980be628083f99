"""Settings as people read them."""

from dashboard.i18n import has_text, t
from resnet_core.presets import shown


def setting_word(value: object, setting: str) -> str:
    """None, true and false in the reader's words; what None means depends on the setting."""
    if value is None and has_text(f"form.none_{setting}"):
        return t(f"form.none_{setting}")
    return t(f"form.{shown(value)}") if value is None or isinstance(value, bool) else shown(value)
