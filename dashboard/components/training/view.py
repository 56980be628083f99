"""One experiment while it trains and afterwards: progress, commands, live curves. Reads the store every second or two; changes nothing else."""

import time
from collections.abc import Sequence

import streamlit as st

from dashboard.bootstrap import guarded
from dashboard.charts.curves import Curve, epoch_curves, line_curves, loss_curves, stage_curves
from dashboard.charts.theme import network_styles
from dashboard.components.formats import duration, literal, number, percent
from dashboard.components.names import distinct, part_word
from dashboard.components.polling import seconds_between_looks
from dashboard.components.runs.words import display_names, show_error, status_badge
from dashboard.components.training.data import steps_of
from dashboard.components.training.shipped_curves import show_shipped_curves
from dashboard.components.training.waiting import waiting_runs
from dashboard.components.vega import show_growing
from dashboard.i18n import message_text, t
from dashboard.loading import store
from dashboard.state import select
from resnet_core.runs import EpochRow, Run, Steps, dispatch, read_epochs, read_notices, resume

WATCHED = "train_watch"
WAITING = ("queued", "running", "paused")


def training_view() -> None:
    """The chosen experiment (the newest by default), polled while any run of it waits or works."""
    runs = tuple(run for run in store().runs() if not run.is_imported)
    experiments = _experiments(runs)
    if not experiments:
        _nothing_yet()
        return
    if st.session_state.get(WATCHED) not in experiments:
        st.session_state[WATCHED] = _most_telling(experiments)
    titles = distinct({key: _title(members) for key, members in experiments.items()})
    st.selectbox(t("train.watch"), list(titles), format_func=lambda key: titles[key], key=WATCHED, persist_state="session")
    watched = [run.run for run in experiments[st.session_state[WATCHED]]]
    going_on = any(_is_going_on(members) for members in experiments.values())

    @st.fragment(run_every=seconds_between_looks(runs) if going_on else None)
    def panel() -> None:
        with guarded():
            dispatch(store())  # a worker that was killed could not start the next run
            everyone = store().runs()
            now = [run for run in everyone if run.run in watched]
            _show(sorted(now, key=lambda run: run.created), everyone)
            if going_on and not any(run.is_going_on for run in store().runs()):
                st.rerun()

    panel()


def _experiments(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by experiment, the newest experiment first."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.pair or run.run, []).append(run)
    return found


def _most_telling(experiments: dict[str, list[Run]]) -> str:
    """The experiment that trains, else the newest one that waits, else the newest."""
    trains = (key for key, members in experiments.items() if any(run.is_active for run in members))
    waits = (key for key, members in experiments.items() if _is_going_on(members))
    return next(trains, None) or next(waits, None) or next(iter(experiments))


def _is_going_on(members: Sequence[Run]) -> bool:
    return any(run.is_going_on for run in members)


def _title(members: Sequence[Run]) -> str:
    ordered = sorted(members, key=lambda run: run.created)
    names = " + ".join(run.model_name for run in ordered)
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(ordered[0].created))
    own = "" if ordered[0].name == ordered[0].run else f"{ordered[0].name} · "
    return f"{own}{names} · {ordered[0].dataset} · {started}"


def _nothing_yet() -> None:
    with st.container(border=True):
        st.markdown(t("train.nothing_yet"))
    show_shipped_curves()


def _show(runs: Sequence[Run], everyone: tuple[Run, ...]) -> None:
    if not runs:
        return
    current = _most_current(runs)
    _commands(runs, everyone)
    _progress(current)
    steps = {run.run: steps_of(run) for run in runs}
    epochs = {run.run: read_epochs(store(), run.run) for run in runs}
    _numbers(current, steps[current.run])
    _loss(runs, steps)
    left, right = st.columns(2)
    with left:
        _epochs(runs, epochs, "accuracy")
        _rate(runs, steps)
    with right:
        _epochs(runs, epochs, "loss")
        _gradients(current if len(steps[current.run]) else runs[0], steps)
    st.caption(t("train.curves_read"))
    _results(runs)
    for run in runs:
        show_error(run)
        for notice in read_notices(store(), run.run):
            st.info(f"**{literal(run.name)}** · {message_text(notice.code, notice.values)}", icon=":material/info:")


def _most_current(runs: Sequence[Run]) -> Run:
    """The one that trains, else the next one, else the last that came to a step: what was stopped while it waited has nothing to show."""
    for tells in (lambda run: run.is_active, lambda run: run.status == "queued"):
        if found := next(filter(tells, runs), None):
            return found
    return next((run for run in reversed(runs) if run.step), runs[-1])


def _commands(runs: Sequence[Run], everyone: tuple[Run, ...]) -> None:
    """Pause, resume and stop; always in place, and grey where they make no sense."""
    statuses = {run.status for run in runs}
    resumable = [run for run in runs if run.is_resumable and run.status != "failed"] or [run for run in runs if run.is_resumable]
    can_resume = "paused" in statuses or (not statuses & {"running", "queued"} and bool(resumable))
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="train_commands"):
        if st.button(t("train.pause"), icon=":material/pause:", key="train_pause", disabled="running" not in statuses):
            _send(runs, "pause", ("running",))
        if st.button(t("train.resume"), icon=":material/play_arrow:", key="train_resume", disabled=not can_resume):
            if "paused" in statuses:
                _send(runs, "resume", ("paused",))
            else:
                for run in resumable:
                    resume(store(), run.run)
                st.rerun()
        if st.button(t("train.stop"), icon=":material/stop:", key="train_stop", disabled=not statuses & set(WAITING)):
            _send(runs, "stop", WAITING)
        for run in runs:
            with st.container(horizontal=True, width="content", gap="xsmall", vertical_alignment="center"):
                st.caption(run.model_name, width="content")
                status_badge(run)
                if run.test_accuracy is not None:
                    st.caption(t("train.test_short", accuracy=percent(run.test_accuracy)), width="content")
        waiting_runs(everyone)


def _send(runs: Sequence[Run], command: str, statuses: Sequence[str]) -> None:
    """The waiting ones first, so that none of them starts when the running one ends."""
    chosen = sorted((run for run in runs if run.status in statuses), key=lambda run: run.status != "queued")
    for run in chosen:
        store().send(run.run, command)
    st.toast(t(f"train.asked_{command}"), icon=":material/hourglass_top:")


def _progress(run: Run) -> None:
    total = run.total_steps or 0
    share = min(run.step / total, 1.0) if total else 0.0
    with st.container(key="train_progress"):
        st.progress(share, text=_progress_text(run, total))
        parameters, frozen = run.facts.get("parameters"), run.epoch < run.config.train.freeze_epochs
        if parameters and run.config.train.freeze_epochs > 0:
            trainable = run.facts["trainable"] if frozen else parameters
            st.caption(t("train.trains", trainable=f"{trainable:,}", parameters=f"{parameters:,}"))


def _progress_text(run: Run, total: int) -> str:
    if run.status == "queued":
        return t("train.progress_queued", name=run.model_name)
    if not total:
        return (
            t("train.progress_starting", name=run.model_name)
            if run.is_active
            else t("train.progress_ended", name=run.model_name, step=run.step)
        )
    epoch = min(run.epoch + 1, run.facts["epochs"]) if run.status != "finished" else run.epoch
    text = t("train.progress", name=run.model_name, epoch=epoch, epochs=run.facts["epochs"], step=f"{run.step:,}", steps=f"{total:,}")
    if run.status == "running" and run.images_per_second and run.step < total:
        seconds = (total - run.step) * run.config.train.batch_size / run.images_per_second
        return f"{text} · {t('train.left', time=duration(seconds))} · {t('train.speed', speed=round(run.images_per_second))}"
    if run.status == "running" and run.step >= total:
        return f"{text} · {t('train.testing')}"
    return text


def _numbers(run: Run, steps: Steps) -> None:
    """The current run in five numbers; a place is kept for what is still coming."""
    recent = steps.loss[-20:]
    speed = f"{run.images_per_second:,.0f}" if run.status == "running" and run.images_per_second else None
    values = (
        ("train.loss_now", number(sum(recent) / len(recent)) if recent else "–"),
        ("train.valid_best", percent(run.best_valid_accuracy)),
        ("train.test", percent(run.test_accuracy)),
        ("train.speed_label", speed or "–"),
        ("train.computed", f"{run.facts.get('precision', '–')}"),
    )
    with st.container(horizontal=True):
        for key, value in values:
            st.metric(t(key), value, help=t(f"{key}_help"), border=True)


def _curves(runs: Sequence[Run], x: dict[str, Sequence[float]], y: dict[str, Sequence[float]]) -> list[Curve]:
    styles = network_styles([run.model_name for run in runs])
    return [
        Curve(name=name, style=style, x=x[run.run], y=y[run.run])
        for run, name, style in zip(runs, display_names(runs), styles, strict=True)
    ]


def _key(chart: str, runs: Sequence[Run]) -> str:
    """A chart of its own for every experiment: what one is zoomed into may lie behind another one's end."""
    return f"train_{chart}_{runs[0].run}"


def _last_step(runs: Sequence[Run]) -> float | None:
    return max((run.total_steps or 0 for run in runs), default=0) or None


def _loss(runs: Sequence[Run], steps: dict[str, Steps]) -> None:
    curves = _curves(runs, {k: s.step for k, s in steps.items()}, {k: s.loss for k, s in steps.items()})
    chart = loss_curves(curves, x_title=t("axis.step"), y_title=t("axis.train_loss"), height=240, x_end=_last_step(runs))
    with st.container(key="train_live_loss"):
        show_growing(chart, key=_key("loss", runs), alt=t("train.loss_alt"))


def _epochs(runs: Sequence[Run], epochs: dict[str, tuple[EpochRow, ...]], what: str) -> None:
    x = {run: [row.epoch for row in rows] for run, rows in epochs.items()}
    train, valid = (
        _curves(runs, x, {run: [getattr(row, f"{split}_{what}") for row in rows] for run, rows in epochs.items()})
        for split in ("train", "valid")
    )
    last = max(run.config.train.epochs for run in runs)
    chart = epoch_curves(
        train, valid, name=what, x_title=t("axis.epoch"), y_title=t(f"axis.{what}"), percent=what == "accuracy", x_end=last, height=210
    )
    show_growing(chart, key=_key(f"epoch_{what}", runs), alt=t("train.accuracy_alt" if what == "accuracy" else "train.loss_epoch_alt"))


def _rate(runs: Sequence[Run], steps: dict[str, Steps]) -> None:
    curves = _curves(runs, {k: s.step for k, s in steps.items()}, {k: s.learning_rate for k, s in steps.items()})
    chart = line_curves(curves, name="rate", x_title=t("axis.step"), y_title=t("axis.learning_rate"), height=210, x_end=_last_step(runs))
    show_growing(chart, key=_key("rate", runs), alt=t("train.rate_alt"))


def _gradients(run: Run, steps: dict[str, Steps]) -> None:
    found = steps[run.run]
    curves = [(part_word(part), found.step, values) for part, values in found.gradient_norms.items()]
    title = t("axis.gradient_norm", name=run.model_name)
    chart = stage_curves(curves, x_title=t("axis.step"), y_title=title, height=210, x_end=_last_step([run]))
    show_growing(chart, key=_key("gradients", [run]), alt=t("train.gradients_alt"))


def _results(runs: Sequence[Run]) -> None:
    """The outcome of finished runs, with the way on to what can be seen in them."""
    finished = [run for run in runs if run.test_accuracy is not None]
    if not finished:
        return
    with st.container(border=True):
        for run in finished:
            st.markdown(
                t(
                    "train.result",
                    name=run.model_name,
                    accuracy=percent(run.test_accuracy),
                    images=f"{run.result['test_images']:,}",
                    time=duration(run.result["seconds"]),
                    tested=t(f"train.tested_{run.result['tested']}"),
                )
            )
        with st.container(horizontal=True):
            for run in finished:
                label = t("train.look_inside", name=run.model_name)
                st.button(label, icon=":material/join_right:", key=f"train_open_{run.run}", on_click=_open, args=(run.run,))
    if st.session_state.pop("train_go_inside", False):
        st.switch_page("pages/residual-blocks.py")


def _open(run: str) -> None:
    select(run=run)
    st.session_state["train_go_inside"] = True
