"""Which network: the shipped ones first, then every run that has weights. One choice for all pages, kept in the link."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard.components.formats import percent
from dashboard.components.names import checkpoint_label, network_label
from dashboard.i18n import error_text, t
from dashboard.loading import block_names, has_blocks, open_checkpoint, require_whole, store
from dashboard.navigation import link_to
from dashboard.state import select, selection
from resnet_core.data import display_name, same_tests
from resnet_core.errors import UserError, nearest
from resnet_core.runs import Checkpoint, Run, checkpoints_of, find_checkpoint, require_channels, shipped_names

DEFAULT = "resnet20-mnist"
SEPARATOR = "@"  # between a run and one of its checkpoints: `RUN@best`


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A line of the select box. `kept` are the checkpoints of a run, the one that its name alone stands for in `result`."""

    name: str
    label: str
    kept: tuple[str, ...] = ()
    result: str = ""


def run_picker(*, key: str = "run_picker", channels: int | None = None, need_blocks: bool = False) -> Checkpoint | None:
    """The chosen checkpoint, whole and readable; None (said, with the way to Train) where there is none.

    `channels` and `need_blocks` leave out the networks that a page cannot use.
    """
    choices = {choice.name: choice for choice in _choices(channels, need_blocks)}
    if not choices:
        st.info(t("pick.nothing"), icon=":material/info:")
        link_to("train")
        return None
    chosen, error = _opened(selection().run, choices, channels)
    if chosen is None:
        default = DEFAULT if DEFAULT in choices else next(iter(choices))
        chosen, failed = _first_whole([default, *choices])
        error = error or failed
    if chosen is not None:
        _draw(key, chosen.name, choices)
    if error is not None:
        st.warning(error_text(error), icon=":material/warning:")
    return chosen


def _opened(name: str | None, choices: dict[str, _Choice], channels: int | None) -> tuple[Checkpoint | None, UserError | None]:
    if name is None:
        return None, None
    try:
        if name.partition(SEPARATOR)[0] not in choices:
            _explain(name, choices, channels)
        checkpoint = open_checkpoint(name)
        require_whole(checkpoint)
    except UserError as error:
        return None, error
    return checkpoint, None


def _explain(name: str, choices: dict[str, _Choice], channels: int | None) -> None:
    """Raise why a name of the link is not among the choices. Paths are none of them: a link opens no other file of this machine."""
    run = name.partition(SEPARATOR)[0]
    if run in shipped_names() or store().exists(run):
        checkpoint = open_checkpoint(name)
        if channels is not None:
            require_channels(checkpoint, channels)
        raise UserError("no_blocks", name=network_label(checkpoint.model_name))
    raise UserError("checkpoint_missing", value=name, hint=nearest(name, choices))


def _first_whole(names: Sequence[str]) -> tuple[Checkpoint | None, UserError | None]:
    first_error = None
    for name in names:
        try:
            checkpoint = open_checkpoint(name)
            require_whole(checkpoint)
        except UserError as error:
            first_error = first_error or error
        else:
            return checkpoint, first_error
    return None, first_error


# -- the choices ------------------------------------------------------------------------------------------------------------------


def _choices(channels: int | None, need_blocks: bool) -> list[_Choice]:
    found = [choice for name in shipped_names() if (choice := _shipped(name, channels, need_blocks))]
    return found + [choice for run in store().runs() if (choice := _of_run(run, channels, need_blocks))]


def _shipped(name: str, channels: int | None, need_blocks: bool) -> _Choice | None:
    try:
        checkpoint = find_checkpoint(name)
    except UserError:
        return _Choice(name=name, label=name)  # choosing it says what is wrong
    if not _fits(checkpoint, channels, need_blocks):
        return None
    return _Choice(name=name, label=_label(checkpoint.model_name, checkpoint.spec.name, _accuracy(checkpoint.metrics.get("test_accuracy"))))


def _of_run(run: Run, channels: int | None, need_blocks: bool) -> _Choice | None:
    kept = checkpoints_of(run.folder)
    result = str(run.result.get("tested", "last"))
    if result not in kept:
        return None
    if channels is not None or need_blocks:
        try:
            if not _fits(open_checkpoint(run.run), channels, need_blocks):
                return None
        except UserError:
            pass  # it stays in the list: choosing it says what is wrong
    if run.test_accuracy is not None:
        state = _accuracy(run.test_accuracy)
    else:
        state = t("pick.epoch_of", epoch=run.epoch, epochs=run.config.train.epochs)
    own = run.run.rpartition("-")[2] if run.name == run.run else run.name
    return _Choice(name=run.run, label=f"{_label(run.model_name, run.dataset, state)} · {own}", kept=kept, result=result)


def _fits(checkpoint: Checkpoint, channels: int | None, need_blocks: bool) -> bool:
    return channels in (None, checkpoint.spec.channels) and (not need_blocks or has_blocks(checkpoint))


def _label(model: str, dataset: str, state: str) -> str:
    return " · ".join(part for part in (network_label(model), display_name(dataset), state) if part)


def _accuracy(share: float | None) -> str:
    return "" if share is None else t("pick.test_accuracy", accuracy=percent(share))


# -- the widgets ------------------------------------------------------------------------------------------------------------------


def _draw(key: str, name: str, choices: dict[str, _Choice]) -> None:
    run, _, which = name.partition(SEPARATOR)
    which_key = f"{key}_checkpoint"
    st.session_state[key] = run
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            t("pick.run"),
            list(choices),
            format_func=lambda option: choices[option].label if option in choices else option,
            key=key,
            on_change=lambda: _select_run(st.session_state[key]),
        )
        choice = choices[run]
        if len(choice.kept) > 1:
            st.session_state[which_key] = which or choice.result
            st.selectbox(
                t("pick.checkpoint"),
                list(choice.kept),
                format_func=checkpoint_label,
                key=which_key,
                on_change=lambda: _select_checkpoint(choice, st.session_state[which_key]),
                width=150,
            )


def _select_checkpoint(choice: _Choice, which: str) -> None:
    select(run=choice.name if which == choice.result else f"{choice.name}{SEPARATOR}{which}")


def _select_run(name: str) -> None:
    """Block and image go along where the other network has them too, and are forgotten where not."""
    select(run=name)
    try:
        checkpoint = open_checkpoint(name)
        chosen = selection()
        if chosen.block is not None and chosen.block not in block_names(checkpoint):
            select(block=None)
        if chosen.image is not None and not same_tests(chosen.image.dataset, checkpoint.config.data.dataset):
            select(image=None)
    except UserError:
        pass  # the page says it
