"""Which network: the shipped ones first, then every run that has weights. One choice for all pages, kept in the link."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from dashboard.components.formats import percent
from dashboard.components.names import checkpoint_label, distinct, network_label
from dashboard.i18n import error_text, t
from dashboard.loading import block_names, find_twin, has_blocks, is_known, open_checkpoint, require_whole, store
from dashboard.navigation import link_to
from dashboard.state import select, selection
from resnet_core.comparison import require_comparable
from resnet_core.data import display_name, same_tests
from resnet_core.errors import UserError, nearest
from resnet_core.runs import Checkpoint, Run, checkpoints_of, find_checkpoint, no_weights, require_channels, run_of, shipped_names
from resnet_core.runs.files import is_file
from resnet_core.runs.opening import SEPARATOR

DEFAULT = "resnet20-mnist"


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A line of the select box. `kept` are the checkpoints of a run, the one that its name alone stands for in `result`."""

    name: str
    label: str
    kept: tuple[str, ...] = ()
    result: str = ""


@dataclass(frozen=True, kw_only=True)
class _Need:
    """What a page asks of a network. `beside` is the one that it is compared with."""

    channels: int | None = None
    blocks: bool = False
    beside: Checkpoint | None = None

    @property
    def role(self) -> str:
        """The part of the selection that is chosen."""
        return "run" if self.beside is None else "other"

    def require(self, checkpoint: Checkpoint) -> None:
        """Raises why this network is not among the choices."""
        if self.channels is not None:
            require_channels(checkpoint, self.channels)
        if self.beside is not None:
            require_comparable(self.beside, checkpoint)
        if self.blocks and not has_blocks(checkpoint):
            raise UserError("no_blocks", name=network_label(checkpoint.model_name))

    def fits(self, checkpoint: Checkpoint) -> bool:
        try:
            self.require(checkpoint)
        except UserError:
            return False
        return True


def run_picker(
    *,
    key: str = "run_picker",
    label: str | None = None,
    channels: int | None = None,
    need_blocks: bool = False,
    beside: Checkpoint | None = None,
) -> Checkpoint | None:
    """The chosen checkpoint, whole and readable; None (said, with the way to Train) where there is none.

    `channels` and `need_blocks` leave out the networks that a page cannot use. With `beside`, the second network of a comparison: one for
    the same images and classes, by default the twin; a choice of its own.
    """
    need = _Need(channels=channels, blocks=need_blocks, beside=beside)
    choices = {choice.name: choice for choice in _choices(need)}
    if not choices:
        st.info(t("pick.nothing"), icon=":material/info:")
        link_to("train")
        return None
    chosen, error = _opened(getattr(selection(), need.role), choices, need)
    if chosen is None:
        chosen, failed = _first_whole([*_defaults(need, choices), *choices])
        error = error or failed
    if chosen is not None:
        _draw(key, label or t("pick.run"), chosen.name, choices, need)
    if error is not None:
        st.warning(error_text(error), icon=":material/warning:")
    return chosen


def _defaults(need: _Need, choices: dict[str, _Choice]) -> list[str]:
    """Beside another network its twin, else any other one."""
    if need.beside is None:
        return [DEFAULT] if DEFAULT in choices else []
    twin = find_twin(need.beside)
    return [*([twin.name] if twin is not None else []), *(name for name in choices if name != need.beside.name)]


def _opened(name: str | None, choices: dict[str, _Choice], need: _Need) -> tuple[Checkpoint | None, UserError | None]:
    if name is None:
        return None, None
    try:
        if run_of(name) not in choices:
            _explain(name, choices, need)
        checkpoint = open_checkpoint(name)
        require_whole(checkpoint)
    except UserError as error:
        return None, error
    return checkpoint, None


def _explain(name: str, choices: dict[str, _Choice], need: _Need) -> None:
    """Raise why a name of the link is not among the choices. Paths are none of them: a link opens no other file of this machine."""
    if is_known(name):
        need.require(open_checkpoint(name))
        raise no_weights(store().run(run_of(name)))
    if is_file(Path(name)):
        raise UserError("link_opens_no_files", value=name)
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


def _choices(need: _Need) -> list[_Choice]:
    found = [choice for name in shipped_names() if (choice := _shipped(name, need))]
    found += [choice for run in store().runs() if (choice := _of_run(run, need))]
    labels = distinct({choice.name: choice.label for choice in found})
    return [replace(choice, label=labels[choice.name]) for choice in found]


def _shipped(name: str, need: _Need) -> _Choice | None:
    try:
        checkpoint = find_checkpoint(name)
    except UserError:
        return _Choice(name=name, label=name)  # choosing it says what is wrong
    if not need.fits(checkpoint):
        return None
    return _Choice(name=name, label=_label(checkpoint.model_name, checkpoint.spec.name, _accuracy(checkpoint.metrics.get("test_accuracy"))))


def _of_run(run: Run, need: _Need) -> _Choice | None:
    kept = checkpoints_of(run.folder)
    result = str(run.result.get("tested", "last"))
    if result not in kept:
        return None
    if need != _Need():
        try:
            if not need.fits(open_checkpoint(run.run)):
                return None
        except UserError:
            pass  # it stays in the list: choosing it says what is wrong
    if run.test_accuracy is not None:
        state = _accuracy(run.test_accuracy)
    elif run.is_imported:
        state = t("pick.imported")
    else:
        state = t("pick.epoch_of", epoch=run.epoch, epochs=run.config.train.epochs)
    own = run.run.rpartition("-")[2] if run.name == run.run else run.name
    return _Choice(name=run.run, label=f"{_label(run.model_name, run.dataset, state)} · {own}", kept=kept, result=result)


def _label(model: str, dataset: str, state: str) -> str:
    return " · ".join(part for part in (network_label(model), display_name(dataset), state) if part)


def _accuracy(share: float | None) -> str:
    return "" if share is None else t("pick.test_accuracy", accuracy=percent(share))


# -- the widgets ------------------------------------------------------------------------------------------------------------------


def _draw(key: str, label: str, name: str, choices: dict[str, _Choice], need: _Need) -> None:
    run, _, which = name.partition(SEPARATOR)
    which_key = f"{key}_checkpoint"
    st.session_state[key] = run
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            label,
            list(choices),
            format_func=lambda option: choices[option].label if option in choices else option,
            key=key,
            on_change=lambda: _select_run(st.session_state[key], need),
        )
        choice = choices[run]
        if len(choice.kept) > 1:
            st.session_state[which_key] = which or choice.result
            st.selectbox(
                t("pick.checkpoint"),
                list(choice.kept),
                format_func=checkpoint_label,
                key=which_key,
                on_change=lambda: _select_checkpoint(choice, st.session_state[which_key], need),
                width=150,
            )


def _select_checkpoint(choice: _Choice, which: str, need: _Need) -> None:
    select(**{need.role: choice.name if which == choice.result else f"{choice.name}{SEPARATOR}{which}"})


def _select_run(name: str, need: _Need) -> None:
    """Block and image go along where the other network has them too, and are forgotten where not; so is a partner that cannot be compared."""
    select(**{need.role: name})
    if need.beside is not None:
        return
    try:
        checkpoint = open_checkpoint(name)
        chosen = selection()
        if chosen.block is not None and chosen.block not in block_names(checkpoint):
            select(block=None)
        if chosen.image is not None and not same_tests(chosen.image.dataset, checkpoint.config.data.dataset):
            select(image=None)
        if chosen.other is not None and not _Need(beside=checkpoint).fits(open_checkpoint(chosen.other)):
            select(other=None)
    except UserError:
        pass  # the page says it
