"""A network in numbers, for the page: ours followed in this process, the wider family's in one of its own, each once."""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace

import streamlit as st

from resnet_core.config import ModelConfig
from resnet_core.data import DATASETS, DataSpec
from resnet_core.errors import UserError
from resnet_core.models import ModelDescription, check_network, describe, get_entry, original_spec
from resnet_core.runs.process import PROJECT

ORIGINAL = "original"
IMAGES = (ORIGINAL, "mnist-mini", "cifar10")
OURS = ("resnet", "plain", "lenet")  # families that are described without torchvision
PATIENCE = 120  # seconds


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network on some images. `images` is a data set, or `original`: what the network was published for."""

    config: ModelConfig
    images: str = ORIGINAL
    side: int | None = None

    @property
    def spec(self) -> DataSpec:
        spec = original_spec(self.config.model) if self.images == ORIGINAL else DATASETS[self.images].spec
        return spec if self.side is None else replace(spec, height=self.side, width=self.side)

    @property
    def is_ours(self) -> bool:
        """Whether it is built of our own blocks, and nothing in it comes from torchvision."""
        return get_entry(self.config.model).family in OURS and not self.config.stochastic_depth


def described(subject: Subject) -> ModelDescription:
    """Raises what is wrong with the network on these images: unknown_name, input_too_small, not_a_multiple and others."""
    check_network(subject.config, subject.spec)
    return _described(subject)


def start(subject: Subject) -> None:
    """Begin with a network that needs a process, so that two of them are read at the same time. Does not wait, raises nothing."""
    with contextlib.suppress(UserError):
        check_network(subject.config, subject.spec)
        if not subject.is_ours:
            _process(subject)


@st.cache_resource(max_entries=32, show_spinner=False)
def _described(subject: Subject) -> ModelDescription:
    return describe(subject.config, subject.spec) if subject.is_ours else _in_a_process(subject)


def _in_a_process(subject: Subject) -> ModelDescription:
    """torchvision and torch's compiler would stay in this one: 170 MB for good."""
    process = _process(subject)
    try:
        said, complaint = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        if process.returncode:  # the next one who asks gets another try
            _process.clear(subject)
    if process.returncode:
        raise RuntimeError(f"describe {subject.config.model}: {complaint}")
    return ModelDescription.from_dict(json.loads(said))


@st.cache_resource(max_entries=64, show_spinner=False)
def _process(subject: Subject) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "resnet_core", "describe", subject.config.model, "--json"]
    if subject.images != ORIGINAL:
        command += ["--dataset", subject.images]
    if subject.side is not None:
        command += ["--size", str(subject.side)]
    usual = ModelConfig(model=subject.config.model)
    for name, value in subject.config.to_dict().items():
        if value != getattr(usual, name):
            command += ["--set", f"{name}={value}"]
    return subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
