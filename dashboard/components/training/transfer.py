"""Start from other weights: which ones, what of them is kept, and how many parameters train while the rest is frozen."""

from collections.abc import Sequence

import streamlit as st

from dashboard.i18n import error_text, t
from dashboard.loading import open_checkpoint, store
from resnet_core.config import ModelConfig, RunConfig
from resnet_core.data import DataSpec
from resnet_core.errors import UserError
from resnet_core.models import build_model
from resnet_core.runs import shipped_names
from resnet_core.runs.transfer import PRETRAINED, Transfer, plan_start
from resnet_core.training.freezing import freeze_all_but_head, trainable_parameters

FRESH = ""
NAMED = 3  # tensors that are named; more are counted


def start_choice() -> str | None:
    """From scratch, from published weights, or from a network that was trained here; a path can be typed."""
    key = "train_start_from"
    if st.session_state.get(key) is None:
        st.session_state[key] = FRESH
    runs = [run.run for run in store().runs() if run.epoch > 0 or run.is_imported]
    options = [FRESH, PRETRAINED, *shipped_names(), *runs]
    if st.session_state[key] not in options:  # a path
        options.append(st.session_state[key])
    chosen = st.selectbox(
        t("setting.start_from.label"),
        options,
        format_func=_label,
        key=key,
        help=t("setting.start_from.help"),
        accept_new_options=True,
        persist_state="session",
    )
    wish = (chosen or "").strip() or None
    if wish not in (None, PRETRAINED):
        try:
            open_checkpoint(wish)
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")
    return wish


def _label(name: str) -> str:
    if name in (FRESH, PRETRAINED):
        return t("transfer.fresh" if name == FRESH else "transfer.pretrained")
    return name


def transfer_words(configs: Sequence[RunConfig], spec: DataSpec) -> list[str]:
    """Lines for the costs: what of the weights is kept, how much trains at first. Raises what is wrong with the weights."""
    lines = []
    for config in configs:
        plan = plan_start(config, spec)
        if plan is not None:
            lines.append(_kept(config, plan))
        if config.train.freeze_epochs > 0:
            key = "transfer.trains" if config.train.freeze_epochs < config.train.epochs else "transfer.trains_head"
            values = {"name": config.model.model, "epochs": min(config.train.freeze_epochs, config.train.epochs)}
            lines.append(t(key, trainable=f"{_head_parameters(config.model, spec):,}", **values))
    return lines


def _kept(config: RunConfig, plan: Transfer) -> str:
    kept = len(plan.kept) + len(plan.fitted)
    values = {"name": config.model.model, "kept": kept, "total": kept + len(plan.fresh)}
    if not plan.fresh:
        return t("transfer.kept_all", **values)
    named = ", ".join(plan.fresh[:NAMED]) + (" …" if len(plan.fresh) > NAMED else "")
    return t("transfer.kept", fresh=named, **values)


@st.cache_data(max_entries=64, show_spinner=False)
def _head_parameters(config: ModelConfig, spec: DataSpec) -> int:
    model = build_model(config, spec, seed=None, device="meta")
    freeze_all_but_head(model)
    return trainable_parameters(model)
