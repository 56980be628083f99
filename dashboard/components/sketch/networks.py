"""Which networks look at the sketch, and what each says."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.components.background_job import Work, job_over, quiet_job
from dashboard.components.names import distinct
from dashboard.i18n import error_text, t
from dashboard.loading import file_state, is_known, open_checkpoint, settled_model, store
from dashboard.navigation import link_to
from dashboard.state import selection
from resnet_core.data.sketch import Pixels
from resnet_core.errors import UserError
from resnet_core.familiarity import Familiarity, familiarity_of, kept_familiarity, knows_digits
from resnet_core.prediction import Opinion, ask
from resnet_core.runs import Checkpoint, checkpoints_of, opening, read_checkpoint, require_channels, shipped_names
from resnet_core.runs.checkpoint import SUFFIX
from resnet_core.runs.files import is_file

PREFERRED = ("sketch-resnet", "resnet20-mnist", "plain20-mnist")  # those that come with the project, as far as they are there
MOST = 6


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one network says; `label` is its name for people, `model` what it is. `learning`: it is still looking at real digits, so
    that it cannot tell yet whether the drawing looks like one."""

    label: str
    model: str
    opinion: Opinion
    learning: bool


def pick_networks() -> dict[str, str]:
    """The chosen checkpoints and their names for people; one sentence and the way to Train where there is none."""
    labels = _labels()
    if not labels:
        st.info(t("sketch.no_networks"), icon=":material/model_training:")
        link_to("train")
        return {}
    chosen = st.multiselect(
        t("sketch.networks"),
        list(labels),
        default=_default(list(labels)),
        format_func=lambda name: labels.get(name, name),
        max_selections=MOST,
        placeholder=t("sketch.choose_networks"),
        help=t("sketch.networks_help", most=MOST),
        key="sketch_networks",
        persist_state="session",
    )
    return {name: labels.get(name, name) for name in chosen}


def ask_networks(networks: dict[str, str], image: Pixels) -> list[Answer]:
    """What each says of a prepared image; one that cannot be asked says why in its place."""
    answers = []
    for name, label in networks.items():
        try:
            answers.append(_ask(name, label, image))
        except UserError as error:
            st.error(error_text(error), icon=":material/error:")
    return answers


def _ask(name: str, label: str, image: Pixels) -> Answer:
    checkpoint = open_checkpoint(name)
    require_channels(checkpoint, 1)
    known = _familiarity(checkpoint)
    opinion = ask(checkpoint, settled_model(checkpoint), image, known)
    return Answer(label=label, model=checkpoint.model_name, opinion=opinion, learning=known is None and bool(still_learning({name: label})))


def still_learning(networks: dict[str, str]) -> list[str]:
    """Names of those that cannot tell yet whether a drawing looks like a digit."""
    names = []
    for name, label in networks.items():
        try:
            checkpoint = open_checkpoint(name)
            job_ended = _kept(file_state(checkpoint), checkpoint) or job_over("familiarity", file_state(checkpoint))
        except UserError:  # it says so where it is asked
            continue
        if knows_digits(checkpoint.spec) and not job_ended:
            names.append(label)
    return names


def _familiarity(checkpoint: Checkpoint) -> Familiarity | None:
    """None while it is being learnt, which starts here, once for every network."""
    if not knows_digits(checkpoint.spec):
        return None
    return _kept(file_state(checkpoint), checkpoint) or quiet_job(
        "familiarity", file_state(checkpoint), prepare=lambda: _learning(checkpoint)
    )


@st.cache_resource(max_entries=24, show_spinner=False)
def _kept(state: tuple[str, float], _checkpoint: Checkpoint) -> Familiarity | None:
    return kept_familiarity(_checkpoint)


def _learning(checkpoint: Checkpoint) -> Work:
    model = settled_model(checkpoint)
    return lambda progress: familiarity_of(checkpoint, model, progress)


def _labels() -> dict[str, str]:
    """Every checkpoint that fits, the shipped ones first, then runs from the newest on; and the one in the link, fitting or not."""
    labels = {name: name for name in shipped_names() if _may_fit(opening.SHIPPED / f"{name}{SUFFIX}")}
    for run in store().runs():
        kept = checkpoints_of(run.folder)
        if kept and _may_fit(run.folder / f"{kept[0]}{SUFFIX}"):
            labels[run.run] = run.name
    linked = selection().run
    if linked is not None and (is_known(linked) or not is_file(Path(linked))):
        labels.setdefault(linked, linked)
    return distinct(labels)


def _may_fit(file: Path) -> bool:
    try:
        return _channels(str(file), file.stat().st_mtime) in (1, None)
    except FileNotFoundError:  # deleted a moment ago
        return False


@st.cache_data(max_entries=1000, show_spinner=False)
def _channels(path: str, changed: float) -> int | None:
    """Of the images a checkpoint is for; None for a file that cannot be opened, which is offered so that choosing it says what is wrong."""
    try:
        return read_checkpoint(Path(path)).spec.channels
    except UserError:
        return None


def _default(names: list[str]) -> list[str]:
    """The shipped pair and the run in the link; without them the two newest, the residual one first."""
    linked = selection().run
    wanted = [name for name in (*PREFERRED, linked) if name in names]
    return list(dict.fromkeys(wanted)) or sorted(names[:2], key=lambda name: name.startswith("plain"))
