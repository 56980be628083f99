"""A run's settings as a TOML file: what is written is what is read, and what cannot be read says why."""

import tomllib
from pathlib import Path

import pytest

from resnet_core.config import RunConfig
from resnet_core.errors import UserError
from resnet_core.presets import PRESETS
from resnet_core.recipes import parse_recipe, read_recipe, recipe_text

CONFIGS = [RunConfig(), *(preset.config() for preset in PRESETS.values())]
CONFIGS.append(
    RunConfig.from_flat({"dataset": 'image-folder:C:\\a "b"\n\t\x7f花', "milestones": (), "learning_rate": 1e-08, "ema_decay": 0.999})
)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.data.dataset[:12])
def test_a_recipe_comes_back_as_it_was_written(config: RunConfig, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_text(config, comment="for a test\n\nsecond line"), encoding="utf-8")
    assert RunConfig.from_flat(read_recipe(file)) == config
    assert set(tomllib.loads(file.read_text(encoding="utf-8"))) == set(config.to_dict())


def test_a_few_settings_leave_the_others_as_they_were() -> None:
    found = parse_recipe("[train]\nlearning_rate = 0.5\nclip_norm = 'none'\n[augment]\nflip = true")
    assert found == {"learning_rate": 0.5, "clip_norm": None, "flip": True}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[train]\nlearning_rate = 'much'", "wrong_type", "learning_rate"),
        ("[train]\nepochs = 0", "out_of_range", "between 1 and 10000"),
        ("[train]\nepoch = 1", "unknown_setting", "did you mean epochs"),
        ("[augment]\nepochs = 1", "unknown_setting", "epochs"),
        ("[trian]\nepochs = 1", "unknown_setting", "did you mean train"),
        ("train = 3", "recipe_unreadable", "write [train]"),
        ("[train\nepochs = 1", "recipe_unreadable", "line 1"),
        ("[train]\nflip = [1, 2]\n", "unknown_setting", "flip"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(text: str, code: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_recipe(text)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_recipe(tmp_path / "none.toml")
    for content in (b"\xff\xfe\x00", b"#" * 2_000_000):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            read_recipe(tmp_path / "bad.toml")
    with pytest.raises(UserError, match="cannot be read"):
        read_recipe(tmp_path)
