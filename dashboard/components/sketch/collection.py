"""A person's own sketches: kept with the digit that was meant, judged by the chosen networks, taken home, forgotten, learnt from."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from torch import nn

from dashboard.bootstrap import told
from dashboard.components.background_job import Progress, Work, background_job
from dashboard.components.formats import percent
from dashboard.components.gallery import Picture, gallery
from dashboard.components.training.prefill import prefill_training
from dashboard.i18n import error_text, t
from dashboard.loading import file_state, open_checkpoint, require_whole, settled_model, split_images
from dashboard.measuring import seconds_per_image
from dashboard.navigation import SCREENS
from resnet_core.data import same_tests
from resnet_core.data.sketch import Pixels
from resnet_core.data.sketches import (
    ALONE,
    DIGITS,
    TOGETHER,
    Sketch,
    forget_sketch,
    forget_sketches,
    keep_sketch,
    prepared_sketches,
    sketches,
    zipped_sketches,
)
from resnet_core.errors import UserError
from resnet_core.familiarity import knows_digits
from resnet_core.prediction import ask
from resnet_core.runs import Checkpoint
from resnet_core.training import predict_batches

COLUMNS = 16
MOST_SHOWN = 96
MNIST = "mnist-mini"  # with MNIST's official test images
TEST_IMAGES = 10_000
FEW_EPOCHS, SMALL_RATE = 3, 0.01  # of a fine-tuning: enough to learn some sketches, too little to forget MNIST


def offer_to_keep(ink: Pixels) -> None:
    """Ten digits to choose from: a click keeps the drawing as what was meant."""
    st.segmented_control(
        t("sketch.keep"), DIGITS, key="sketch_keep", help=t("sketch.keep_help"), on_change=_keep, args=(ink,), width="stretch"
    )
    if said := st.session_state.pop("sketch_kept", None):
        st.caption(said)


def _keep(ink: Pixels) -> None:
    label = st.session_state["sketch_keep"]
    st.session_state["sketch_keep"] = None
    if label is None:
        return
    try:
        kept = keep_sketch(ink, label)
    except UserError as error:
        st.session_state["sketch_kept"] = error_text(error)
        return
    part = t("sketch.kept_test" if kept.part == "test" else "sketch.kept_train")
    st.session_state["sketch_kept"] = t("sketch.kept", label=label, part=part, count=len(sketches()))


def show_collection(networks: Mapping[str, str]) -> None:
    st.subheader(t("sketch.mine_title"), anchor=False)
    found = _whole(sketches())
    if not found:
        st.caption(t("sketch.mine_none"))
        return
    judges = _judges(networks)
    answers = {
        label: _answers(file_state(checkpoint), tuple(s.name for s in found), checkpoint, found) for label, checkpoint in judges.items()
    }
    chosen = _show_gallery(found, answers)
    _show_scores(found, judges, answers)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _actions(found, chosen, judges)
    st.caption(t("sketch.mine_where", folder=str(found[0].path.parents[2])))


def _whole(found: Sequence[Sketch]) -> tuple[Sketch, ...]:
    """Those that can be opened; of files damaged since, their names and the way to be rid of them."""
    damaged = []
    for sketch in found:
        try:
            _small(str(sketch.path), sketch)
        except UserError:
            damaged.append(sketch)
    if damaged:
        with st.container(horizontal=True, vertical_alignment="center"):
            names = t("sketch.comma").join(sketch.path.name for sketch in damaged)
            st.warning(t("sketch.mine_damaged", count=len(damaged), names=names), icon=":material/broken_image:")
            st.button(t("sketch.mine_damaged_delete"), key="sketch_damaged", on_click=_forget_these, args=(tuple(s.name for s in damaged),))
    return tuple(sketch for sketch in found if sketch not in damaged)


def _forget_these(names: Sequence[str]) -> None:
    for name in names:
        _forget(name)


def _judges(networks: Mapping[str, str]) -> dict[str, Checkpoint]:
    """By their name for people; one that cannot be opened said so above."""
    judges = {}
    for name, label in networks.items():
        try:
            checkpoint = open_checkpoint(name)
            if knows_digits(checkpoint.spec):
                require_whole(checkpoint)
                judges[label] = checkpoint
        except UserError:
            continue
    return judges


@st.cache_data(max_entries=64, show_spinner=False)
def _answers(state: tuple[str, float], names: tuple[str, ...], _checkpoint: Checkpoint, _found: Sequence[Sketch]) -> NDArray[np.int64]:
    """(sketches,): the class that this network gives each. A new one does not have all others judged again."""
    model = settled_model(_checkpoint)
    return np.array([_answer(state, str(sketch.path), _checkpoint, model, sketch) for sketch in _found])


@st.cache_data(max_entries=4096, show_spinner=False)
def _answer(state: tuple[str, float], path: str, _checkpoint: Checkpoint, _model: nn.Module, _sketch: Sketch) -> int:
    return int(ask(_checkpoint, _model, _small(path, _sketch)).probabilities.argmax())


def _show_gallery(found: Sequence[Sketch], answers: Mapping[str, NDArray[np.int64]]) -> Sketch | None:
    """The newest ones; the one that was clicked."""
    picked = st.session_state.get("sketch_picked")
    pictures = [
        Picture(
            value=place,
            title=_title(sketch, {label: int(said[place]) for label, said in answers.items()}),
            pixels=_small(str(sketch.path), sketch),
        )
        for place, sketch in enumerate(found[:MOST_SHOWN])
    ]
    names = [sketch.name for sketch in found]
    selected = names.index(picked) if picked in names else None

    def pick(place: int) -> None:
        st.session_state["sketch_picked"] = names[place]

    gallery(pictures, key="sketch_mine", columns=COLUMNS, selected=selected, on_pick=pick)
    if selected is None:
        st.caption(t("sketch.mine_read", count=len(found)))
        return None
    st.caption(pictures[selected].title if selected < len(pictures) else "")
    return found[selected]


def _title(sketch: Sketch, said: Mapping[str, int]) -> str:
    meant = t("sketch.mine_meant", label=sketch.label)
    wrong = [
        t("sketch.mine_says", network=label, answer=DIGITS[answer]) for label, answer in said.items() if DIGITS[answer] != sketch.label
    ]
    return t("sketch.comma").join([meant, *wrong]) if wrong else f"{meant}{t('sketch.comma')}{t('sketch.mine_right')}" if said else meant


@st.cache_data(max_entries=1024, show_spinner=False)
def _small(path: str, _sketch: Sketch) -> Pixels:
    """As networks get it; every stroke draws the gallery again."""
    return prepared_sketches((_sketch,)).images[0, 0].numpy()


def _show_scores(found: Sequence[Sketch], judges: Mapping[str, Checkpoint], answers: Mapping[str, NDArray[np.int64]]) -> None:
    """Of each network: how many it reads as meant; where one of them learnt from sketches, only those kept apart count, for all."""
    labels = np.array([int(sketch.label) for sketch in found])
    learnt = any(checkpoint.config.data.dataset in (ALONE, TOGETHER) for checkpoint in judges.values())
    counted = np.array([sketch.part == "test" or not learnt for sketch in found])
    rows = []
    for label, checkpoint in judges.items():
        right = (answers[label] == labels) & counted
        mnist = mnist_accuracy(checkpoint)
        rows.append(
            {
                t("sketch.score_network"): label,
                t("sketch.score_mine"): t("sketch.score_of", right=int(right.sum()), count=int(counted.sum())),
                t("sketch.score_which"): t("sketch.score_apart" if learnt else "sketch.score_all"),
                t("sketch.score_mnist"): "–" if mnist is None else percent(mnist, 2),
                t("sketch.score_start"): _start_said(checkpoint),
            }
        )
    if rows:
        st.table(rows)
        st.caption(t("sketch.score_read"))
    _offer_mnist(judges)


def mnist_accuracy(checkpoint: Checkpoint) -> float | None:
    """On MNIST's 10,000 test images: as its training measured it, or as it was measured here; None before that."""
    metrics = checkpoint.metrics
    if same_tests(checkpoint.config.data.dataset, MNIST) and metrics.get("test_images") == TEST_IMAGES:
        return float(metrics["test_accuracy"])
    return st.session_state.get(f"mnist_accuracy {checkpoint.weights_sha256}")


def _start_said(checkpoint: Checkpoint) -> str:
    """What the network that it started from reached on the same images."""
    start = checkpoint.config.train.start_from
    if start is None:
        return "–"
    try:
        before = mnist_accuracy(open_checkpoint(start))
    except UserError:
        return start
    return start if before is None else f"{start}: {percent(before, 2)}"


def _offer_mnist(judges: Mapping[str, Checkpoint]) -> None:
    """For networks that were tested on other images."""
    unknown = [checkpoint for checkpoint in judges.values() if mnist_accuracy(checkpoint) is None]
    if not unknown:
        return
    found = background_job(
        "mnist", *map(file_state, unknown),
        prepare=lambda: _mnist_work(unknown),
        label=t("sketch.measure_mnist", count=TEST_IMAGES),
        seconds=sum(seconds_per_image(checkpoint) for checkpoint in unknown) * TEST_IMAGES,
        key="sketch_measure_mnist",
    )  # fmt: skip
    if found is not None:
        for checkpoint, accuracy in zip(unknown, found, strict=True):
            st.session_state[f"mnist_accuracy {checkpoint.weights_sha256}"] = accuracy
        st.rerun()


def _mnist_work(checkpoints: Sequence[Checkpoint]) -> Work:
    _, images = split_images(MNIST, "test")
    models = [settled_model(checkpoint) for checkpoint in checkpoints]

    def work(progress: Progress) -> list[float]:
        accuracies = []
        for place, (checkpoint, model) in enumerate(zip(checkpoints, models, strict=True)):
            right = 0
            for done, logits in predict_batches(model, images, checkpoint.spec, batch_size=100):
                labels = images.labels[done - len(logits) : done]
                right += int((logits.argmax(1) == labels).sum())
                progress(place * len(images) + done, len(models) * len(images))
            accuracies.append(right / len(images))
        return accuracies

    return work


def _actions(found: Sequence[Sketch], chosen: Sketch | None, judges: Mapping[str, Checkpoint]) -> None:
    st.button(
        t("sketch.forget_one"), key="sketch_forget", icon=":material/delete:", disabled=chosen is None, on_click=_forget,
        args=("" if chosen is None else chosen.name,),
    )  # fmt: skip
    st.download_button(
        t("sketch.zip"), data=zipped_sketches, file_name=time.strftime("sketches-%Y-%m-%d.zip"), mime="application/zip", key="sketch_zip",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
    with st.popover(t("sketch.forget_all"), icon=":material/delete_sweep:"):
        st.markdown(t("sketch.forget_sure", count=len(found)))
        st.button(t("sketch.forget_yes", count=len(found)), key="sketch_forget_all", type="primary", on_click=_forget_all)
    if judges and "train" in SCREENS:
        with st.popover(t("sketch.tune"), icon=":material/model_training:"):
            st.markdown(t("sketch.tune_what"))
            for label, checkpoint in judges.items():
                if st.button(t("sketch.tune_copy", network=label), key=f"sketch_tune_{label}"):
                    prefill_training(checkpoint, dataset=TOGETHER, epochs=FEW_EPOCHS, learning_rate=SMALL_RATE)
                    st.switch_page(SCREENS["train"].file)


def _forget(name: str) -> None:
    told(lambda: forget_sketch(name))


def _forget_all() -> None:
    told(forget_sketches)
