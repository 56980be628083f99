"""Every setting, by its own table: what is inside the range is kept, what is outside raises and says where, what and how."""

import dataclasses
import math
import types
import typing
from typing import Any

import pytest

from resnet_core.config import PARTS, AugmentConfig, Config, DataConfig, ModelConfig, RunConfig, Setting, TrainConfig
from resnet_core.errors import UserError

SETTINGS = [(kind, name, rule) for kind in PARTS.values() for name, rule in kind.settings().items()]


def ids(rows: list[tuple[Any, ...]]) -> list[str]:
    return [f"{row[0].__name__}.{row[1]}" for row in rows]


def kind_of(config: type[Config], name: str) -> tuple[Any, bool]:
    """(the type of the field's value, of its numbers for a list; whether None is allowed)."""
    hint = typing.get_type_hints(config)[name]
    optional = isinstance(hint, types.UnionType)
    kind = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint
    return (typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind), optional


def put(config: type[Config], name: str, number: Any) -> Any:
    """The value of the field when it is built from this number (or, for a list, from a list of it alone)."""
    listed = typing.get_origin(typing.get_type_hints(config)[name]) is tuple
    value = getattr(config(**{name: (number,) if listed else number}), name)
    return value[0] if listed else value


LIMITED = [row for row in SETTINGS if row[2].minimum is not None or row[2].maximum is not None]
CHOSEN = [row for row in SETTINGS if row[2].choices is not None]
OPTIONAL = [row for row in SETTINGS if kind_of(row[0], row[1])[1]]
REQUIRED = [row for row in SETTINGS if not kind_of(row[0], row[1])[1]]
NUMBERS = [row for row in SETTINGS if kind_of(row[0], row[1])[0] in (int, float)]
BOOLS = [row for row in SETTINGS if kind_of(row[0], row[1])[0] is bool]


def test_every_number_has_a_range_and_every_setting_help() -> None:
    assert {f"{kind.__name__}.{name}" for kind, name, _ in NUMBERS} == {f"{kind.__name__}.{name}" for kind, name, _ in LIMITED}
    for _, name, rule in SETTINGS:
        assert rule.help, name
        assert rule.help.strip(".") == rule.help, name  # a phrase, which forms end as they like


def test_names_are_unique_over_the_four_parts() -> None:
    names = [name for _, name, _ in SETTINGS]
    assert len(names) == len(set(names))
    assert set(RunConfig().flat()) == set(names)


@pytest.mark.parametrize(("config", "name", "rule"), LIMITED, ids=ids(LIMITED))
def test_both_ends_of_the_range_are_inside_and_what_lies_beyond_raises(config: type[Config], name: str, rule: Setting) -> None:
    kind, _ = kind_of(config, name)
    for end, beyond in ((rule.minimum, -math.inf), (rule.maximum, math.inf)):
        if end is None:
            continue
        assert put(config, name, end) == end
        assert type(put(config, name, end)) is kind
        outside = end + math.copysign(1, beyond) if kind is int else math.nextafter(end, beyond)
        with pytest.raises(UserError) as caught:
            put(config, name, outside)
        assert (caught.value.code, caught.value.field) == ("out_of_range", name)
        assert rule.range in str(caught.value)


@pytest.mark.parametrize(("config", "name", "rule"), CHOSEN, ids=ids(CHOSEN))
def test_choices_are_kept_and_others_raise_with_the_list(config: type[Config], name: str, rule: Setting) -> None:
    for choice in rule.choices or ():
        assert getattr(config(**{name: choice}), name) == choice
    with pytest.raises(UserError) as caught:
        config(**{name: "nonsense"})
    assert (caught.value.code, caught.value.field) == ("not_a_choice", name)
    assert str(caught.value) == f"{name} must be one of {', '.join(rule.choices or ())}, got 'nonsense'."


@pytest.mark.parametrize(("config", "name", "rule"), NUMBERS, ids=ids(NUMBERS))
@pytest.mark.parametrize("value", ["many", "nan", math.nan, math.inf, True, [[1]]], ids=repr)
def test_what_is_no_number_raises(config: type[Config], name: str, rule: Setting, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        put(config, name, value)
    assert (caught.value.code, caught.value.field) == ("wrong_type", name)


WHOLE = [row for row in NUMBERS if kind_of(row[0], row[1])[0] is int]


@pytest.mark.parametrize(("config", "name", "rule"), WHOLE, ids=ids(WHOLE))
def test_whole_numbers_are_not_cut_down(config: type[Config], name: str, rule: Setting) -> None:
    low = int(rule.minimum or 0)
    assert put(config, name, f"{low + 1}") == put(config, name, f"{low + 1}.0") == low + 1
    with pytest.raises(UserError, match="a whole number"):
        put(config, name, low + 0.5)


@pytest.mark.parametrize(("config", "name", "rule"), OPTIONAL, ids=ids(OPTIONAL))
@pytest.mark.parametrize("nothing", [None, "", "none", "None"], ids=repr)
def test_an_optional_setting_can_be_none(config: type[Config], name: str, rule: Setting, nothing: str | None) -> None:
    assert getattr(config(**{name: nothing}), name) is None


@pytest.mark.parametrize(("config", "name", "rule"), REQUIRED, ids=ids(REQUIRED))
def test_the_others_cannot(config: type[Config], name: str, rule: Setting) -> None:
    with pytest.raises(UserError) as caught:
        config(**{name: None})
    assert caught.value.field == name


@pytest.mark.parametrize(("config", "name", "rule"), BOOLS, ids=ids(BOOLS))
def test_booleans_are_read_from_text(config: type[Config], name: str, rule: Setting) -> None:
    for text, value in {"true": True, "1": True, "Yes": True, "on": True, "FALSE": False, "0": False, "no": False, "off": False}.items():
        assert getattr(config(**{name: text}), name) is value
    with pytest.raises(UserError, match="true or false"):
        config(**{name: "perhaps"})


@pytest.mark.parametrize("given", ["0.25,0.5", "0.25, 0.5", [0.25, 0.5], (0.25, "0.5")], ids=repr)
def test_a_list_is_read_from_text_or_a_sequence(given: Any) -> None:
    assert TrainConfig(milestones=given).milestones == (0.25, 0.5)


def test_a_list_may_be_empty_and_each_of_its_numbers_is_checked() -> None:
    assert TrainConfig(milestones=()).milestones == TrainConfig(milestones="").milestones == ()  # type: ignore[arg-type]
    with pytest.raises(UserError, match="milestones must be between 0 and 1"):
        TrainConfig(milestones=(0.5, 1.5))
    with pytest.raises(UserError, match="a list of numbers"):
        TrainConfig(milestones=0.5)  # type: ignore[arg-type]


def test_configs_are_frozen_hashable_and_keyword_only() -> None:
    config = TrainConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        TrainConfig(4)  # type: ignore[misc]
    assert {RunConfig(): 1}[RunConfig.from_flat({})] == 1


EVERYWHERE = {
    "train_limit": 100,
    "model": "plain8",
    "width": 0.5,
    "crop_padding": 2,
    "flip": True,
    "milestones": (0.1, 0.9),
    "clip_norm": 1.5,
}


def test_from_flat_puts_each_setting_where_it_lives() -> None:
    config = RunConfig.from_flat(EVERYWHERE)
    assert config == RunConfig(
        data=DataConfig(train_limit=100),
        model=ModelConfig(model="plain8", width=0.5),
        augment=AugmentConfig(crop_padding=2, flip=True),
        train=TrainConfig(milestones=(0.1, 0.9), clip_norm=1.5),
    )


def test_from_flat_changes_a_base_and_leaves_it_alone() -> None:
    base = RunConfig.from_flat({"epochs": 7, "seed": 3})
    changed = RunConfig.from_flat({"seed": "4"}, base)
    assert (changed.train.epochs, changed.train.seed, base.train.seed) == (7, 4, 3)


@pytest.mark.parametrize("config", [RunConfig(), RunConfig.from_flat(EVERYWHERE)], ids=["defaults", "changed"])
def test_json_dict_and_flat_give_the_same_config_back(config: RunConfig) -> None:
    assert RunConfig.from_json(config.to_json()) == config
    assert RunConfig.from_dict(config.to_dict()) == config
    assert RunConfig.from_flat(config.flat()) == config
    assert (
        RunConfig.from_flat({name: str(value).strip("()") for name, value in config.flat().items()}) == config
    )  # as a command line gives it


def test_what_an_older_file_lacks_gets_its_default() -> None:
    assert RunConfig.from_json('{"train": {"epochs": 9}}') == RunConfig.from_flat({"epochs": 9})


@pytest.mark.parametrize(
    ("wrong", "right"), [("learning_rat", "learning_rate"), ("epoch", "epochs"), ("datset", "dataset"), ("optin", "option")]
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UserError) as caught:
        RunConfig.from_flat({wrong: 1})
    assert caught.value.code == "unknown_setting"
    assert repr(wrong) in str(caught.value)
    assert right in str(caught.value)


def test_unknown_names_raise_in_parts_as_well() -> None:
    with pytest.raises(UserError, match="'epoch'; did you mean epochs"):
        TrainConfig.from_dict({"epoch": 1})
    with pytest.raises(UserError, match="'trian'; did you mean train"):
        RunConfig.from_dict({"trian": {}})


def test_a_range_in_words() -> None:
    assert Setting(help="", minimum=0.5, maximum=2).range == "between 0.5 and 2"
    assert Setting(help="", minimum=1).range == "at least 1"
    assert Setting(help="", maximum=1).range == "at most 1"
