"""The experiment that residual networks were invented for, from trainings of this project's own, beside the papers' numbers."""

import pandas as pd
import streamlit as st

from dashboard.charts.degradation import DepthValue, by_depth
from dashboard.components.formats import device_words
from dashboard.components.names import family_label
from dashboard.components.vega import show_vega
from dashboard.i18n import error_text, t
from resnet_core.errors import UserError
from resnet_core.runs.degradation import HE_2015, LI_2018_PLAIN, LI_2018_RESNET, RESULT, Degradation, read_result, verdict

TEST_IMAGES = 10_000


def show_degradation() -> None:
    """Nothing where the experiment was not run."""
    try:
        result = read_result(RESULT)
    except UserError as error:
        st.error(error_text(error), icon=":material/error:")
        return
    if result is None:
        return
    st.subheader(t("home.degradation_title"), anchor=False)
    st.markdown(_sentence(result))
    loss, error = st.columns(2, gap="medium")
    titles = {"x_title": t("home.degradation_depth")}
    with loss:
        chart = by_depth(_values(result, "train_loss"), y_title=t("home.degradation_loss"), **titles)
        show_vega(chart, key="degradation_loss", alt=t("home.degradation_alt"))
    with error:
        chart = by_depth(_values(result, "test_error"), y_title=t("home.degradation_error"), percent=True, **titles)
        show_vega(chart, key="degradation_error", alt=t("home.degradation_alt"))
    st.caption(
        t(
            "home.degradation_how",
            networks=len(result.rows),
            images=f"{result.train_images:,}",
            dataset=result.dataset,
            epochs=result.epochs,
            batch=result.batch_size,
            seeds=result.seeds,
            device="; ".join(map(device_words, result.devices)),
            test=f"{TEST_IMAGES:,}",
        )
    )
    with st.expander(t("home.degradation_papers")):
        st.dataframe(_papers(), hide_index=True)


def _sentence(result: Degradation) -> str:
    found = verdict(result)
    if found is None:
        return ""
    return t(
        f"home.degradation_{found.outcome}",
        shallow=found.shallow,
        deep=found.deep,
        plain_shallow=f"{found.plain[0]:.2f}",
        plain_deep=f"{found.plain[1]:.2f}",
        resnet_shallow=f"{found.resnet[0]:.2f}",
        resnet_deep=f"{found.resnet[1]:.2f}",
    )


def _values(result: Degradation, what: str) -> list[DepthValue]:
    return [
        DepthValue(
            family=family_label(row.family),
            model=row.family,
            depth=row.depth,
            seed=row.seed,
            value=row.train_loss if what == "train_loss" else 1 - row.test_accuracy,
        )
        for row in result.rows
    ]


def _papers() -> pd.DataFrame:
    sources = {("He 2015", "resnet"): HE_2015, ("Li 2018", "resnet"): LI_2018_RESNET, ("Li 2018", "plain"): LI_2018_PLAIN}
    return pd.DataFrame(
        [
            {
                t("home.degradation_source"): source,
                t("home.degradation_kind"): family_label(family),
                **{str(depth): f"{numbers[depth]:.2f}" if depth in numbers else "–" for depth in sorted(HE_2015)},
            }
            for (source, family), numbers in sources.items()
        ]
    )
