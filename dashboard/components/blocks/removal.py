"""From a finding to a deed: the network without a block as a run of its own, measured at once, to be opened or trained further."""

import dataclasses

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.components.formats import literal, percent
from dashboard.components.names import block_label, network_label
from dashboard.components.training.prefill import prefill_training
from dashboard.i18n import t
from dashboard.loading import file_state, images_for, open_checkpoint, store
from dashboard.measuring import lesion_count, lesion_of
from dashboard.navigation import SCREENS
from dashboard.state import select, selection
from resnet_core.config import RunConfig
from resnet_core.models import count_parameters
from resnet_core.runs import Checkpoint, Run
from resnet_core.runs.shallower import Removal, adopt_shallower, can_be_removed

MADE = "removed_run"  # (whose blocks went, the run that came of it)
MOST_EPOCHS, RATE = 3, 0.1  # of a fine-tuning: epochs, and its learning rate as a share of the training's


def removal_button(checkpoint: Checkpoint, dataset: str, blocks: tuple[str, ...], *, key: str) -> None:
    """Grey where one of these blocks cannot go, with the reason."""
    possible = _removable(file_state(checkpoint), checkpoint)
    needed = [name for name in blocks if name not in possible]
    count = lesion_count(checkpoint, dataset)
    help = t("removal.needed", blocks=_named(needed)) if needed else t("removal.help", count=count)
    label = t("removal.one") if len(blocks) == 1 else t("removal.several", count=len(blocks))
    if st.button(label, icon=":material/content_cut:", key=key, help=help, disabled=bool(needed)):
        with guarded(), st.spinner(t("removal.measuring", count=count)):
            run = _remove(checkpoint, dataset, blocks)
            st.session_state[MADE] = (checkpoint.name, run.run)
            st.rerun()


@st.cache_data(max_entries=64, show_spinner=False)
def _removable(state: tuple[str, float], _checkpoint: Checkpoint) -> tuple[str, ...]:
    return can_be_removed(_checkpoint)


def _remove(checkpoint: Checkpoint, dataset: str, blocks: tuple[str, ...]) -> Run:
    whole, less = lesion_of(checkpoint, dataset, ()), lesion_of(checkpoint, dataset, blocks)
    count = lesion_count(checkpoint, dataset)
    removal = Removal(blocks=blocks, accuracy_before=whole.accuracy, accuracy_after=less.accuracy, images=count)
    return adopt_shallower(store(), checkpoint, removal)


def show_removed(checkpoint: Checkpoint) -> None:
    """What came of the last removal from this network, and where to go with it."""
    whose, name = st.session_state.get(MADE, ("", ""))
    if whose != checkpoint.name or not store().exists(name):
        return
    run = store().run(name)
    with st.container(border=True, key="removed"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":green[:material/check_circle:] **{t('removal.made', name=literal(run.name))}**")
            if st.button(t("removal.open"), icon=":material/open_in_full:", key="removed_open"):
                _select(run)
                st.rerun()
            if st.button(t("removal.train"), icon=":material/model_training:", key="removed_train", help=t("removal.train_help")):
                _fill_train_form(run, images_for(checkpoint))
                st.switch_page(SCREENS["train"].file)
        st.caption(_measured(checkpoint, run))


def _measured(checkpoint: Checkpoint, run: Run) -> str:
    before, after = run.result["accuracy_before"], run.result["accuracy_after"]
    fewer = count_parameters(checkpoint.config.model, checkpoint.spec) - count_parameters(run.config.model, checkpoint.spec)
    return t(
        "removal.measured",
        network=network_label(run.model_name),
        blocks=_named(run.config.model.removed_blocks),
        before=percent(before, 1),
        after=percent(after, 1),
        count=run.result["measured_images"],
        fewer=f"{fewer:,}",
    )


def _named(blocks: tuple[str, ...] | list[str]) -> str:
    return t("removal.comma").join(block_label(name) for name in blocks)


def _select(run: Run) -> None:
    select(run=run.run)
    if selection().block in run.config.model.removed_blocks:
        select(block=None)


def _fill_train_form(run: Run, dataset: str) -> None:
    """The Train page's form as this network was trained, from these weights on: a few epochs at a tenth of the learning rate."""
    settings = {name: value for name, value in fine_tuning(run).flat().items() if name not in ("dataset", "model", "start_from")}
    prefill_training(open_checkpoint(run.run), dataset=dataset, **settings)


def fine_tuning(run: Run) -> RunConfig:
    """The run's own settings for a short training at a low rate."""
    train = run.config.train
    changed = dataclasses.replace(
        train, epochs=min(train.epochs, MOST_EPOCHS), learning_rate=RATE * train.learning_rate, freeze_epochs=0, start_from=None
    )
    return dataclasses.replace(run.config, train=changed)
