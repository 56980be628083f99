"""A checkpoint is completed with what judging sketches needs."""

from pathlib import Path

import pytest

from resnet_core.calibration import fit_temperature
from resnet_core.config import RunConfig
from resnet_core.data import DATASETS, load_split
from resnet_core.familiarity import kept_familiarity
from resnet_core.models import build_model
from resnet_core.runs import load_model, read_checkpoint, save_checkpoint
from resnet_core.runs.shipping import complete
from resnet_core.training import evaluate


def test_an_older_checkpoint_gets_its_temperature_and_what_it_knows_of_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_core.familiarity.REFERENCES", 60)
    monkeypatch.setattr("resnet_core.familiarity.CALIBRATION", 60)
    config = RunConfig.from_flat({"model": "resnet8", "width": 0.25, "dataset": "mnist-mini", "valid_fraction": 0.02})
    spec, file = DATASETS["mnist-mini"].spec, tmp_path / "old.safetensors"
    save_checkpoint(file, build_model(config.model, spec, seed=0).state_dict(), config, spec, {"epoch": 1, "step": 80, "note": "kept"})
    before = read_checkpoint(file)
    complete(file)
    after = read_checkpoint(file)
    _, valid = load_split(config.data, "valid")
    logits = evaluate(load_model(before), valid, spec).logits
    assert after.metrics == {**before.metrics, "temperature": fit_temperature(logits, valid.labels)}
    assert after.weights_sha256 == before.weights_sha256
    assert kept_familiarity(after) is not None
    assert (tmp_path / "old.digits.npz").stat().st_size < 200_000
