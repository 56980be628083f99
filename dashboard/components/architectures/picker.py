"""Which network, beside which other one, on which images. All of it stands in the link."""

from dataclasses import dataclass

import streamlit as st

from dashboard.components.architectures.described import IMAGES, ORIGINAL, Subject
from dashboard.components.names import network_label
from dashboard.forms import setting_widget
from dashboard.i18n import error_text, t
from dashboard.navigation import SCREENS
from resnet_core.config import ModelConfig
from resnet_core.errors import UserError
from resnet_core.models import get_entry, model_names

DEFAULT = "resnet18"
NONE = "none"
SIDES = ("224", "32", "28")
KEYS = {"model": "architecture_model", "beside": "architecture_beside", "images": "architecture_images", "side": "architecture_side"}
USUAL = {"model": DEFAULT, "beside": NONE, "images": ORIGINAL, "side": ORIGINAL}
SETTINGS = ("version", "option", "stem", "norm", "stride_in_1x1", "width", "patch")
WRITTEN = "architecture_link"  # what this page last wrote into the link: anything else there was asked for


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the page draws; None where that cannot be, which has been said at its field."""

    subject: Subject | None
    beside: Subject | None = None


def network_picker() -> Choice:
    follow_link()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        model = _network("model", t("architectures.network"), ())
        beside = _network("beside", t("architectures.beside"), (NONE,))
        images = st.selectbox(
            t("architectures.images"),
            IMAGES,
            format_func=lambda name: t("architectures.images_original") if name == ORIGINAL else name,
            key=KEYS["images"],
            help=t("architectures.images_help"),
            persist_state="session",
            width=170,
        )
        side = st.selectbox(
            t("architectures.side"),
            (ORIGINAL, *SIDES),
            format_func=lambda text: t("architectures.side_own") if text == ORIGINAL else f"{text}",
            key=KEYS["side"],
            help=t("architectures.side_help"),
            accept_new_options=True,
            persist_state="session",
            width=130,
        )
        with st.popover(t("architectures.settings"), icon=":material/tune:"):
            settings = _settings(model)
        _train_button(model, settings)
    _write_link()
    pixels = _pixels(side)
    if pixels is not None and pixels < 1:
        return Choice(subject=None)
    first = _subject(model, settings, images, pixels)
    other = None if beside in (None, NONE) else _subject(beside, {}, images, pixels)
    return Choice(subject=first, beside=other)


def open_diagram(model: str, **settings: object) -> None:
    """For links from other pages: the next time this page is drawn it shows this network."""
    st.session_state[KEYS["model"]] = model
    for name in SETTINGS:
        if name in settings:
            st.session_state[f"architecture_{name}"] = settings[name]


def follow_link() -> None:
    """What the link asks for, unless this page wrote it there itself."""
    written = st.session_state.get(WRITTEN, {})
    for parameter, key in KEYS.items():
        asked = st.query_params.get(parameter)
        if asked is not None and asked != written.get(parameter):
            st.session_state[key] = asked
        elif st.session_state.get(key) is None:
            st.session_state[key] = USUAL[parameter]
    if st.session_state[KEYS["images"]] not in IMAGES:
        st.session_state[KEYS["images"]] = ORIGINAL


def _write_link() -> None:
    written = {}
    for parameter, key in KEYS.items():
        value = st.session_state.get(key)
        if value is None or (value == USUAL[parameter] and parameter != "model"):
            st.query_params.pop(parameter, None)
        else:
            written[parameter] = value
            if st.query_params.get(parameter) != value:
                st.query_params[parameter] = value
    st.session_state[WRITTEN] = written


def _network(parameter: str, label: str, extra: tuple[str, ...]) -> str:
    return st.selectbox(
        label,
        (*extra, *model_names()),
        format_func=lambda name: t("architectures.beside_none") if name == NONE else network_label(name),
        key=KEYS[parameter],
        help=t("architectures.network_help"),
        accept_new_options=True,
        persist_state="session",
        width=190,
    )


def _is_known(model: str) -> bool:
    try:
        get_entry(model)
    except UserError:
        return False
    return True


def _settings(model: str) -> dict[str, object]:
    if not _is_known(model):
        return {}
    known = get_entry(model).settings
    found = {name: setting_widget(name, f"architecture_{name}") for name in SETTINGS if name in known}
    said = "architectures.settings_read" if found else "architectures.no_settings"
    st.caption(t(said, network=network_label(model)))
    return found


def _pixels(side: str | None) -> int | None:
    if side in (None, ORIGINAL):
        return None
    try:
        pixels = int(str(side))
        if not 1 <= pixels <= 4096:
            raise ValueError
    except ValueError:
        st.error(error_text(UserError("out_of_range", field="image_size", value=side, range="between 1 and 4096")), icon=":material/error:")
        return 0
    return pixels


def _subject(model: str, settings: dict[str, object], images: str, side: int | None) -> Subject | None:
    try:
        get_entry(model)
        return Subject(config=ModelConfig(model=model, **settings), images=images, side=side)  # type: ignore[arg-type]
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return None


def _train_button(model: str, settings: dict[str, object]) -> None:
    if st.button(
        t("architectures.train"),
        icon=SCREENS["train"].icon,
        key="architecture_train",
        help=t("architectures.train_help"),
        disabled=not _is_known(model),
    ):
        st.session_state["train_models"] = [model]
        for name, value in settings.items():
            st.session_state[f"train_{name}"] = value
        st.switch_page(SCREENS["train"].file)
