"""A place to paste an image into: Ctrl+V anywhere on the page while it is shown, or its button, which asks the browser for the clipboard."""

import base64
import binascii

import streamlit as st

from dashboard.i18n import t

_CSS = """
button { width: 100%; padding: 0.5rem; border: 1px dashed var(--st-border-color); border-radius: var(--st-base-radius); background: none;
  color: var(--st-text-color); font: inherit; font-size: 0.875rem; cursor: pointer; }
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); }
"""
_JS = """
export default function ({ data, parentElement, setStateValue }) {
  const button = parentElement.querySelector("button")
  const page = parentElement.ownerDocument
  const say = (text) => { button.textContent = text }
  say(data.label)
  const give = (blob) => {
    if (!blob) return say(data.none)
    const reader = new FileReader()
    reader.onload = () => setStateValue("image", reader.result)
    reader.readAsDataURL(blob)
  }
  const pasted = (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"))
    if (!file) return
    event.preventDefault()
    give(file)
  }
  page.addEventListener("paste", pasted)
  button.onclick = async () => {
    try {
      for (const item of await navigator.clipboard.read()) {
        const kind = item.types.find((one) => one.startsWith("image/"))
        if (kind) return give(await item.getType(kind))
      }
      say(data.none)
    } catch { say(data.refused) }
  }
  return () => page.removeEventListener("paste", pasted)
}
"""
_component = st.components.v2.component("residual_lens_paste", html='<button type="button"></button>', css=_CSS, js=_JS)


def pasted_image(key: str) -> bytes | None:
    """The file that was pasted last, as it is; None before that, or where the browser sent no image."""
    words = {"label": t("sketch.paste"), "none": t("sketch.paste_none"), "refused": t("sketch.paste_refused")}
    result = _component(key=key, data=words, on_image_change=lambda: None)
    head, _, content = str(getattr(result, "image", None) or "").partition(",")
    if not head.startswith("data:image/"):
        return None
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        return None
