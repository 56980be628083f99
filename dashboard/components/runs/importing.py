"""What comes from elsewhere: a run as a zip, or a file of weights; checked, and added to the store."""

import re
import tempfile
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.components.formats import literal
from dashboard.components.names import network_label
from dashboard.components.runs.table import choose
from dashboard.i18n import error_text, t
from dashboard.loading import store
from resnet_core.config import ModelConfig
from resnet_core.data import DATASETS, display_name
from resnet_core.errors import UserError
from resnet_core.models import model_names
from resnet_core.runs import import_run
from resnet_core.runs.adopting import Adopted, adopt_weights

TAKEN = "runs_import_taken"  # the upload that is in the store already: a rerun brings the same file again
SAID = "runs_import_said"
KINDS = ("zip", "safetensors", "pth", "pt", "th", "ckpt", "bin")
MOST = 1024  # MB: a zip with all checkpoints of a ResNet-50
NAMED = 6


def offer_import() -> None:
    """An uploader behind a button; the sentence of what is wrong with a file that is refused."""
    for line in st.session_state.pop(SAID, ()):
        st.info(line, icon=":material/info:")
    with st.popover(t("runs.import"), icon=":material/upload_file:", key="runs_import_open"):
        file = st.file_uploader(t("runs.import_file"), type=KINDS, key="runs_import", help=t("runs.import_help"), max_upload_size=MOST)
        if file is None or st.session_state.get(TAKEN) == file.file_id:
            return
        try:
            run = import_run(store(), file).run if file.name.lower().endswith(".zip") else _weights(file)
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")
            return
        if run is None:
            return
        st.session_state[TAKEN] = file.file_id
    choose(run)
    st.toast(t("runs.imported", run=run), icon=":material/check:")
    st.rerun()


def _weights(file: UploadedFile) -> str | None:
    """The run that a file of weights became; None until it is known which network it is. Ours say it themselves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file.name).name
        path.write_bytes(file.getvalue())
        try:
            adopted = _adopted(path)
        except UserError as error:
            error.values |= {key: file.name for key in ("path", "source") if key in error.values}  # not the place where we put it
            raise
    if adopted is None:
        return None
    st.session_state[SAID] = _said(adopted)
    return adopted.run.run


def _adopted(path: Path) -> Adopted | None:
    try:
        return adopt_weights(store(), path, None)
    except UserError as error:
        if error.code != "weights_need_a_network":
            raise
    asked = _ask(path.name)
    return adopt_weights(store(), path, asked[0], dataset=asked[1]) if asked else None


def _ask(file: str) -> tuple[ModelConfig, str | None] | None:
    """Which network, at first the one that the file is called after, and which data; None until Import is pressed."""
    names = list(model_names())
    known = max((name for name in names if name in re.sub("[-_]", "", file.lower())), key=len, default=None)
    model = st.selectbox(
        t("runs.import_network"),
        names,
        index=names.index(known) if known else None,
        format_func=network_label,
        placeholder=t("runs.import_network_hint"),
        accept_new_options=True,
        key="runs_import_network",
    )
    dataset = st.selectbox(
        t("runs.import_dataset"),
        ["", *DATASETS],
        format_func=lambda name: display_name(name) if name else t("runs.import_as_made"),
        key="runs_import_dataset",
    )
    if not st.button(t("runs.import_start"), icon=":material/upload_file:", key="runs_import_start", disabled=model is None):
        return None
    return ModelConfig(model=str(model)), dataset or None


def _said(adopted: Adopted) -> list[str]:
    """Where the tensors came from, for weights of another project."""
    if adopted.imported is None:
        return []
    fitted = adopted.imported.fitted
    lines = [t("runs.import_kept", name=literal(adopted.run.name), kept=len(fitted.kept) + len(fitted.averaged) + len(fitted.resampled))]
    for key, names in (("fresh", fitted.fresh), ("not_finite", fitted.not_finite)):
        if names:
            listed = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
            lines.append(t(f"runs.import_{key}", names=listed))
    return [" ".join(lines)]
