"""The one way in to captum: without matplotlib, which it imports for drawing and which a web server never uses.

Captum imports all of itself at once, so there is no narrower import. While it does, stand-ins take the place of its two modules that
import matplotlib; what they hold is loaded when somebody calls it. Measured: 0.4 s and 33 MB with matplotlib, 0.1 s and 5 MB without.
"""

import importlib
import sys
import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

UNUSED = ("captum.attr._utils.visualization", "captum.attr._core.llm_attr")
HOOKS = r"Setting (forward, )?backward hooks"  # what some methods announce at every call; the hooks go with the copy that they sit on
_lock = threading.Lock()


def captum(module: str) -> Any:
    """`captum.attr` or `captum.metrics`, imported when first asked for."""
    name = f"captum.{module}"
    with _lock:
        if name not in sys.modules:
            _import_without_matplotlib(name)
        if not any(getattr(message, "pattern", None) == HOOKS for _, message, *_ in warnings.filters):
            warnings.filterwarnings("ignore", message=HOOKS)
    return sys.modules[name]


def _import_without_matplotlib(name: str) -> None:
    stand_ins = {unused: _StandIn(unused) for unused in UNUSED if unused not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        importlib.import_module(name)
    finally:
        for unused in stand_ins:
            del sys.modules[unused]


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: getattr(importlib.import_module(self.__name__), name)(*arguments, **options)
