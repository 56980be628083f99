"""Below a page's main picture: further views, one open at a time, since a closed one costs nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.i18n import t

SCROLLS = 3000  # ms after the page is computed: the pictures above come one after the other and move what is below them
_ARRIVE = """<script>
(() => {
  let moved = false;
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"])
    addEventListener(kind, () => { moved = true; }, { once: true, capture: true, passive: true });
  let end = Infinity;
  const arrive = () => {
    const place = document.querySelector(".st-key-KEY");
    const app = document.querySelector("[data-testid=stApp]");
    if (end === Infinity && app?.dataset.testScriptState === "notRunning") end = Date.now() + SCROLLS;
    if (moved || !place || Date.now() > end) return;
    place.style.scrollMarginTop = "4.5rem";
    place.scrollIntoView({ block: "start" });
    setTimeout(arrive, 200);
  };
  arrive();
})();
</script>"""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`title` and `lead` (one sentence above the view, where there is one) are keys of sentences; `show` takes what the page has chosen."""

    title: str
    icon: str
    show: Callable[..., None]
    lead: str | None = None


def open_panel(
    label: str, panels: Mapping[str, Panel], *arguments: Any, key: str, heading: bool = False, none_open: str | None = None
) -> None:
    """Asks which one, under `label`, and shows it. A link can open it: `?panel=lesion`, and leads to it; a person who scrolls goes where
    they want. `none_open` is said while all are closed.

    With `heading` the label is one, where the choice would else seem to belong to the widgets above it.
    """
    linked = key not in st.session_state and st.query_params.get("panel") in panels
    if linked:
        st.session_state[key] = st.query_params["panel"]
    if heading:
        st.subheader(label, anchor=False)
    chosen = st.segmented_control(
        label,
        list(panels),
        format_func=lambda name: f"{panels[name].icon} {t(panels[name].title)}",
        key=key,
        label_visibility="collapsed" if heading else "visible",
        persist_state="session",
    )
    if chosen is None:
        st.query_params.pop("panel", None)
        if none_open is not None:
            st.caption(none_open)
        return
    if st.query_params.get("panel") != chosen:
        st.query_params["panel"] = chosen
    if (lead := panels[chosen].lead) is not None:
        st.caption(t(lead))

    @st.fragment
    def panel() -> None:
        with guarded():
            panels[chosen].show(*arguments)

    if linked:  # before the panel, which may take its time
        st.html(_ARRIVE.replace("KEY", key).replace("SCROLLS", str(SCROLLS)), unsafe_allow_javascript=True)
    panel()
