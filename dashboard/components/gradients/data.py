"""What the Gradients page measures: the chosen network and its twin on one batch, each kept per file and batch."""

import dataclasses
from dataclasses import dataclass

import streamlit as st

from dashboard.components.names import before_label, network_label
from dashboard.i18n import t
from dashboard.loading import file_state, images_for, labelled_images, open_checkpoint, settled_model, store
from dashboard.memory import tidied
from resnet_core.data import normalize, some_images
from resnet_core.errors import UserError
from resnet_core.inspection import GradientReport, measure_gradients
from resnet_core.models import twin_config, twin_name
from resnet_core.runs import Checkpoint, checkpoints_of, shipped_names
from resnet_core.runs.opening import SEPARATOR


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The images of one backward pass, and in which mode the network sees them."""

    split: str
    count: int
    seed: int
    training: bool


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network of the comparison. `origin` says which weights it has: those of the chosen checkpoint, of the twin that came with it
    (`shipped`) or was trained with it (`experiment`), or those before training (`initial`)."""

    checkpoint: Checkpoint
    origin: str = "chosen"

    @property
    def model_name(self) -> str:
        return self.checkpoint.model_name

    @property
    def is_initial(self) -> bool:
        return self.origin == "initial"

    @property
    def label(self) -> str:
        name = network_label(self.model_name)
        return t("gradients.member_initial", network=name, before=before_label(self.checkpoint)) if self.is_initial else name


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A network of the comparison and what one backward pass found in it."""

    member: Member
    report: GradientReport

    @property
    def has_split(self) -> bool:
        """Whether its blocks have two paths."""
        return any(block.share is not None for block in self.report.blocks)


def before_training(checkpoint: Checkpoint) -> Member:
    return Member(checkpoint=checkpoint, origin="initial")


def twin_of(checkpoint: Checkpoint) -> Member | None:
    """The twin that was trained like this checkpoint, else the twin before training; None for a network without a twin."""
    name = twin_name(checkpoint.model_name)
    config = twin_config(checkpoint.config.model)
    if name is None or config is None:
        return None
    for origin, found in (("shipped", _shipped_twin(checkpoint, name)), ("experiment", _trained_twin(checkpoint, name))):
        if found is not None:
            return Member(checkpoint=found, origin=origin)
    untrained = dataclasses.replace(
        checkpoint, config=dataclasses.replace(checkpoint.config, model=config), metrics={"step": 0, "epoch": 0}
    )
    return before_training(untrained)


def _shipped_twin(checkpoint: Checkpoint, twin: str) -> Checkpoint | None:
    """`plain20-mnist` for `resnet20-mnist`, where both came with the project."""
    name = checkpoint.name.replace(checkpoint.model_name, twin)
    return _opened(name, twin) if {checkpoint.name, name} <= set(shipped_names()) else None


def _trained_twin(checkpoint: Checkpoint, twin: str) -> Checkpoint | None:
    """The same checkpoint (last, best, epoch 3, ...) of the twin in the same experiment, else the one that its test was measured on."""
    run, _, which = checkpoint.name.partition(SEPARATOR)
    if checkpoint.name in shipped_names() or not store().exists(run):
        return None
    for other in store().pair_of(store().run(run)):
        if other.model_name == twin and other.deleted is None:
            same = f"{SEPARATOR}{which}" if which in checkpoints_of(other.folder) else ""
            return _opened(f"{other.run}{same}", twin)
    return None


def _opened(name: str, model: str) -> Checkpoint | None:
    try:
        found = open_checkpoint(name)
    except UserError:  # it has no weights yet, or is damaged: its own page says so
        return None
    return found if found.model_name == model else None


def measure(member: Member, batch: Batch) -> Measurement:
    """One backward pass; raises data_missing and what opening the split raises."""
    return Measurement(member=member, report=gradients_of(member, batch))


def gradients_of(member: Member, batch: Batch) -> GradientReport:
    return _gradients(file_state(member.checkpoint), member.model_name, member.is_initial, batch, member)


@st.cache_data(max_entries=64, show_spinner=False)
@tidied
def _gradients(state: tuple[str, float], model_name: str, initial: bool, batch: Batch, _member: Member) -> GradientReport:
    checkpoint = _member.checkpoint
    _, images = labelled_images(checkpoint, images_for(checkpoint), batch.split)
    chosen = images.take(some_images(len(images), batch.count, batch.seed))
    inputs = normalize(chosen.images, checkpoint.spec)
    model = settled_model(checkpoint, inputs, initial=initial)
    train = None if checkpoint.is_imported else checkpoint.config.train  # how it was trained elsewhere is not known
    return measure_gradients(model, inputs, chosen.labels, training=batch.training, train=train)
