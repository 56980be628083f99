"""What networks say together of one drawing, and that a temperature is used."""

import dataclasses

import numpy as np
import pytest

from resnet_core.data.mnist_mini import read_mnist_mini
from resnet_core.prediction import LIKELY, SURE, Opinion, ask, network_input, verdict
from resnet_core.runs import find_checkpoint, load_model


def peak(place: int, height: float) -> list[float]:
    return [height if k == place else (1 - height) / 9 for k in range(10)]


def opinion(table: list[float], strangeness: float | None = None, oddness: float | None = None) -> Opinion:
    return Opinion(network="a", classes=tuple("0123456789"), probabilities=np.array(table), strangeness=strangeness, oddness=oddness)


@pytest.mark.parametrize(
    ("tables", "answer", "agree", "certainty"),
    [
        ([peak(7, 0.99)], "7", True, "sure"),
        ([peak(7, SURE), peak(7, 1.0)], "7", True, "sure"),
        ([peak(7, 0.99), peak(7, SURE - 0.01)], "7", True, "likely"),
        ([peak(7, LIKELY), peak(7, 0.99)], "7", True, "likely"),
        ([peak(7, 0.99), peak(7, LIKELY - 0.01)], "7", True, "unsure"),
        ([peak(7, 0.99), peak(1, 0.96)], "7", False, "unsure"),
    ],
)
def test_the_verdict_is_as_sure_as_the_least_sure_network(tables: list[list[float]], answer: str, agree: bool, certainty: str) -> None:
    found = verdict([opinion(table) for table in tables])
    assert (found.answer, found.agree, found.certainty) == (answer, agree, certainty)


def test_the_runner_up_is_the_second_answer() -> None:
    assert verdict([opinion(peak(7, 0.9)), opinion(peak(1, 0.8))]).runner_up == "1"


def test_what_looks_like_no_digit_to_networks_on_average_is_none_however_sure_they_are() -> None:
    sure = peak(7, 0.99)
    assert verdict([opinion(sure, 2.0), opinion(sure, -1.0)]).certainty == "none"
    assert verdict([opinion(sure, 1.0), opinion(sure, -2.0)]).certainty == "sure"
    assert verdict([opinion(sure, 1.0), opinion(sure)]).certainty == "none"  # the other one was not learnt
    assert verdict([opinion(sure, -1.0, 1.0), opinion(sure, -1.0, -0.5)]).certainty == "odd"
    assert verdict([opinion(sure, -1.0, 1.0), opinion(peak(1, 0.99), -1.0, -0.5)]).certainty == "unsure"


def test_probabilities_are_of_logits_divided_by_the_temperature() -> None:
    checkpoint = find_checkpoint("resnet20-mnist")
    model, image = load_model(checkpoint), read_mnist_mini("test").images[8, 0].numpy()
    for temperature in (None, 2.5):
        metrics = {key: value for key, value in checkpoint.metrics.items() if key != "temperature"}
        metrics |= {} if temperature is None else {"temperature": temperature}
        said = ask(dataclasses.replace(checkpoint, metrics=metrics), model, image)
        logits = model(network_input(image, checkpoint.spec)).detach()
        assert said.probabilities == pytest.approx((logits / (temperature or 1)).softmax(1)[0].numpy(), abs=1e-6)
        assert said.temperature == temperature
