"""What people call networks."""

import pytest

from dashboard.components.names import distinct, family_label, network_label
from resnet_core.models import MODELS


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("resnet20", "ResNet-20"),
        ("plain56", "Plain-56"),
        ("vgg16_bn", "VGG-16 BN"),
        ("vit_b_16", "ViT-B/16"),
        ("resnet26", "ResNet-26"),
        ("mine", "mine"),
    ],
)
def test_networks_are_called_as_their_authors_call_them(model: str, label: str) -> None:
    assert network_label(model) == label


def test_every_network_of_the_table_has_a_name_of_its_own_and_a_family() -> None:
    assert len({network_label(model) for model in MODELS}) == len(MODELS)
    assert all(network_label(model) != model and family_label(entry.family) != entry.family for model, entry in MODELS.items())


def test_equal_labels_are_told_apart_by_their_keys() -> None:
    labels = distinct({"a": "one", "b": "two", "c": "one", "two": "two"})
    assert labels == {"a": "one · a", "b": "two · b", "c": "one · c", "two": "two"}  # what is called by its key needs no addition
    assert len(set(labels.values())) == len(labels)
