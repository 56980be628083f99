"""Probabilities as the page says them."""


def percent_said(probability: float) -> str:
    """No network is entirely sure, and rounding must not make it so."""
    return ">99.9%" if probability > 0.999 else f"{probability:.1%}"
