"""The surgery: what a 28x28 digit becomes in ResNet-18 as published and in the one for small images, each change with reason and code."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from dashboard.charts.feature_rows import FeatureMap, feature_row
from dashboard.charts.theme import PLOTLY_CONFIG
from dashboard.components.architectures.described import Subject, described
from dashboard.components.architectures.table import show_resolutions
from dashboard.i18n import t
from dashboard.loading import leave_cores_to_trainings, split_images
from dashboard.memory import tidied
from resnet_core.config import ModelConfig
from resnet_core.data import normalize
from resnet_core.inspection import settle_norms
from resnet_core.inspection.recording import recorded
from resnet_core.models import ModelDescription, build_model

MODEL, DATASET = "resnet18", "mnist-mini"
SETTLING = 32  # images whose statistics the untrained norms get
VERSIONS = {
    "unchanged": Subject(config=ModelConfig(model=MODEL, stem="imagenet"), side=28),  # three channels, 1000 classes
    "changed": Subject(config=ModelConfig(model=MODEL, stem="small"), images=DATASET),
}
TITLES = {"unchanged": "architectures.unchanged", "changed": "architectures.changed"}
CHANGES = ("conv1", "maxpool", "fc")
CODE = {
    "conv1": "model.conv1 = nn.Conv2d(1, 64, kernel_size=3, stride=1, padding=1, bias=False)",
    "maxpool": "model.maxpool = nn.Identity()",
    "fc": "model.fc = nn.Linear(model.fc.in_features, 10)",
}


@dataclass(frozen=True, kw_only=True)
class Maps:
    """The digit, and the mean over channels of what each part gives: name of the part -> (H, W)."""

    digit: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]


def surgery_view(chosen: Subject, drawn: ModelDescription) -> None:
    """Always of ResNet-18, whatever network is drawn above."""
    index = int(st.number_input(t("architectures.digit"), 0, 9999, 0, key="surgery_digit", persist_state="session", width=180))
    for version, subject in VERSIONS.items():
        found = described(subject)
        st.markdown(t(TITLES[version], parameters=f"{found.parameters:,}", macs=f"{found.macs / 1e6:,.1f}"))
        sizes, maps = st.columns([1, 1.25], gap="medium")
        with sizes:
            show_resolutions(found, key=f"surgery_{version}", largest=28, compact=True)
        with maps, st.spinner(t("architectures.looking")):
            _show_maps(version, _maps(version, index))
    st.caption(t("architectures.maps_read", count=SETTLING))
    st.subheader(t("architectures.changes"), anchor=False)
    for name, column in zip(CHANGES, st.columns(len(CHANGES), gap="medium"), strict=True):
        with column, st.container(border=True, gap="xsmall"):
            st.markdown(f"**{t(f'architectures.change_{name}')}**")
            st.code(CODE[name], language="python", wrap_lines=True)
            st.caption(t(f"architectures.reason_{name}"))


def _show_maps(version: str, found: Maps) -> None:
    pictures = [FeatureMap(title=t("architectures.image_short"), values=found.digit.astype(np.float32))]
    pictures += [FeatureMap(title=_part(name), values=values) for name, values in found.maps.items()]
    st.plotly_chart(
        feature_row(pictures, height=190), config=PLOTLY_CONFIG, key=f"surgery_maps_{version}", alt=t(f"architectures.maps_{version}_alt")
    )


def _part(name: str) -> str:
    if name == "stem":
        return t("architectures.stem")
    return t("architectures.stage", number=int(name.rpartition(".")[2]) + 1)


@st.cache_data(max_entries=32, show_spinner=False)
@tidied
def _maps(version: str, index: int) -> Maps:
    """Weights drawn from seed 0; what the norms know are SETTLING digits, this one among them. Three channels get the same digit."""
    leave_cores_to_trainings()
    spec, split = split_images(DATASET, "test")
    first = min(index, len(split) - SETTLING)
    own = VERSIONS[version].spec
    images = normalize(split.images[first : first + SETTLING], spec).expand(-1, own.channels, -1, -1)
    model = build_model(VERSIONS[version].config, own, seed=0)
    places = {name: model.get_submodule(name) for name in ("stem", *(f"stages.{stage}" for stage in range(4)))}
    with torch.inference_mode():
        settle_norms(model, images).eval()
        with recorded(places) as values:
            model(images[index - first : index - first + 1])
    return Maps(digit=split.images[index, 0].numpy(), maps={name: values[name][0].mean(0).numpy() for name in places})
