"""Vanishing, exploding, healthy: the verdict on a network's gradients with its evidence and thresholds."""

import streamlit as st

from dashboard.components.gradients.data import Measurement
from dashboard.i18n import t
from resnet_core.inspection import GradientTrend, gradient_trend
from resnet_core.inspection.trend import EXTREME, GEOMETRIC, HOPELESS, LEANING, log_ratio

COLORS = {
    "healthy": "green", "leaning_up": "yellow", "leaning_down": "yellow", "exploding": "red", "vanishing": "red", "zero": "red",
    "not_finite": "red", "too_short": "gray",
}  # fmt: skip
ICONS = {
    "healthy": ":material/check:", "leaning_up": ":material/trending_up:", "leaning_down": ":material/trending_down:",
    "exploding": ":material/trending_up:", "vanishing": ":material/trending_down:", "zero": ":material/block:",
    "not_finite": ":material/error:", "too_short": ":material/horizontal_rule:",
}  # fmt: skip
ORIGINS = {"shipped": "gradients.origin_shipped", "experiment": "gradients.origin_experiment", "initial": "gradients.origin_initial"}


def show_verdict(one: Measurement) -> None:
    """The network's name, where its weights come from, the verdict and what it rests on."""
    member, report = one.member, one.report
    trend = gradient_trend([block.input_grad_norm for block in report.blocks])
    # Along the way through the blocks: a projection on a shortcut is no later than the branch beside it.
    weights = [layer.weight_grad_norm for layer in report.layers if layer.part.startswith("stages.") and ".shortcut." not in layer.name]
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.markdown(f"**{member.label}**", width="content", help=threshold_text())
            verdict_badge(trend)
        st.caption(t(ORIGINS[member.origin], name=member.checkpoint.name) if member.origin in ORIGINS else member.checkpoint.name)
        st.markdown(evidence(trend, log_ratio(weights[0], weights[-1]) if weights else None))
        st.caption(t("gradients.loss", loss=f"{report.loss:.3g}"))


def verdict_badge(trend: GradientTrend) -> None:
    st.badge(t(f"gradients.verdict_{trend.verdict}"), icon=ICONS[trend.verdict], color=COLORS[trend.verdict])


def evidence(trend: GradientTrend, weights: float | None) -> str:
    """The numbers behind a verdict, in one or two sentences."""
    if trend.log_ratio is None or trend.per_block is None or trend.agreeing is None:
        return t(f"gradients.because_{trend.verdict}")
    said = t(
        "gradients.because",
        factor=factor(trend.log_ratio),
        log_ratio=signed(trend.log_ratio),
        per_block=f"{10**trend.per_block:.2f}",
        agreeing=f"{trend.agreeing:.0%}",
    )
    if weights is None:
        return said
    if abs(trend.log_ratio) < LEANING:
        follows = "gradients.weights_too"
    else:
        follows = "gradients.weights_follow" if weights * trend.log_ratio > 0 else "gradients.weights_differ"
    return f"{said} {t(follows, log_ratio=signed(weights))}"


def threshold_text() -> str:
    return t(
        "gradients.thresholds",
        leaning=f"{10**LEANING:.0f}",
        extreme=f"{10**EXTREME:.0f}",
        step=f"{10**GEOMETRIC:.2f}",
        hopeless=f"{10**HOPELESS:,.0f}",
    )


def factor(exponent: float) -> str:
    """10 to this power with three digits: 5.06, 4,570, 1.2e+07."""
    return f"{10**exponent:,.0f}" if 3 <= exponent < 6 else f"{10**exponent:.3g}"


def signed(exponent: float) -> str:
    return f"{exponent:+.2f}".replace("-", "−")
