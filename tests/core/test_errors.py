import pickle
import re

import pytest

from resnet_core.errors import MESSAGES, UserError, nearest

PLACEHOLDER = re.compile(r"{(\w+)[!:}]")


@pytest.mark.parametrize("code", MESSAGES)
def test_every_error_says_its_values_and_survives_pickling(code: str) -> None:
    names = set(PLACEHOLDER.findall(MESSAGES[code]))
    values: dict[str, object] = {
        name: 0.5 if ":g}" in MESSAGES[code] and name == "learning_rate" else f"<{name}>" for name in names - {"field"}
    }
    error = UserError(code, field="<field>" if "field" in names else None, **values)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UserError
    assert (again.code, again.field, again.values, str(again)) == (error.code, error.field, error.values, str(error))
    assert all(f"<{name}>" in str(error) for name in names - {"learning_rate"})
    assert str(error)[-1] in ".?", "a whole sentence"
    assert isinstance(error, ValueError)


def test_the_field_is_known_apart_from_the_sentence() -> None:
    error = UserError("device_missing", field="device", value="cuda", choices="auto, cpu")
    assert error.field == "device"
    assert error.values == {"field": "device", "value": "cuda", "choices": "auto, cpu"}
    assert str(error) == "The device 'cuda' is not available on this machine; choose auto, cpu."


def test_an_unknown_code_or_a_missing_value_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        UserError("no_such_code")
    with pytest.raises(KeyError):
        UserError("file_missing")


def test_nearest_offers_up_to_three_close_names_else_all() -> None:
    known = ["resnet20", "resnet32", "plain20", "vgg16"]
    assert nearest("resnet", [*known, "resnet44"]) == "did you mean resnet44, resnet32, resnet20"
    assert nearest("vgg-16", known) == "did you mean vgg16"
    assert nearest("zzz", known) == "known: plain20, resnet20, resnet32, vgg16"
    assert nearest("a", []) == "known: "
    assert (
        nearest("zzz", [f"n{number:02}" for number in range(30)])
        == "known: " + ", ".join(f"n{number:02}" for number in range(16)) + ", ..."
    )
