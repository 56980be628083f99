"""Every verdict is a whole sentence in both languages, with all its numbers in sensible digits."""

import dataclasses
import re
from typing import Any

import pytest

from dashboard.components.blocks.verdicts import in_words
from dashboard.i18n import LANGUAGES, sentences
from resnet_core.inspection import FINDINGS, BlockEvidence, NetworkEvidence, judge

SOUND = BlockEvidence(
    name="stages.0.1", ratio=0.8, initial_ratio=0.9, residual_norm=10, variation=0.8, dead_share=0.0, initial_dead_share=0.0,
    inner_dead_share=0.0, initial_inner_dead_share=0.0, gamma=1.2, shortcut_share=1.0, drop=0.02,
)  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "untrained": ({"trained": False}, {}),
    "collapsed": ({"accuracy": 0.1, "one_answer": 0.99}, {}),
    "plain": ({}, {"shortcut_share": None, "drop": 0.7}),
    "cut": ({}, {"shortcut_share": 0.0, "drop": 0.6}),
    "gamma": ({}, {"ratio": 0.0, "gamma": 0.0}),
    "silent": ({}, {"ratio": 0.0, "drop": 0.0}),
    "constant": ({}, {"inner_dead_share": 1.0, "variation": 0.0}),
    "dead": ({}, {"dead_share": 0.75}),
    "idle": ({}, {"ratio": 0.1, "drop": 0.0}),
    "healthy": ({}, {}),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", FINDINGS)
def test_every_finding_is_said_with_all_its_numbers(code: str, language: str) -> None:
    of_network, of_block = CASES[code]
    whole = {"accuracy": 0.9, "chance": 0.1, "one_answer": 0.12, "images": 500, "trained": True, **of_network}
    finding = judge(NetworkEvidence(blocks=(dataclasses.replace(SOUND, **of_block),), **whole))[0]
    assert finding.code == code
    said = sentences(language)[f"verdict.{code}_because"].format(**in_words(finding), before="(before)")
    assert not re.search(r"e[+-]\d|\d{5}|nan|\d\.\d{4}", said), said
    for part in ("title", "next"):
        assert sentences(language)[f"verdict.{code}_{part}"]
