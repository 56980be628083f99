"""Weights of other projects: their networks, written here as those projects have them, answer as ours do with their files."""

import argparse
import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from resnet_core.cli import run
from resnet_core.config import DataConfig, ModelConfig
from resnet_core.data import load_split, normalize
from resnet_core.errors import UserError
from resnet_core.inspection import residual_statistics
from resnet_core.models import build_model
from resnet_core.models.foreign import fit_weights
from resnet_core.models.pretrained import pretrained_state
from resnet_core.runs import load_model, read_checkpoint
from resnet_core.runs.importing import import_weights, read_weights
from tests.core.models.conftest import shake, spec

ROOT = Path(__file__).parents[3]
CIFAR, MNIST = spec(3, 32, 10), spec(1, 28, 10)


# -- the other projects' networks ------------------------------------------------------------------------------------------------------------


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Basic(nn.Module):
    """BasicBlock of both CIFAR projects; `option` A is akamaster's LambdaLayer."""

    expansion = 1

    def __init__(self, channels: int, planes: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or channels != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
            if option == "A":
                self.shortcut = Lambda(lambda x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(out + self.shortcut(x))


class Bottle(nn.Module):
    expansion = 4

    def __init__(self, channels: int, planes: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != 4 * planes:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))))
        return functional.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class Theirs(nn.Module):
    """kuangliu's ResNet (four stages) and akamaster's (three): conv1, bn1, layer1 ..., linear."""

    def __init__(self, block: Any, counts: tuple[int, ...], width: int, option: str = "B") -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.counts, channels = counts, width
        for stage, count in enumerate(counts):
            planes, blocks = width * 2**stage, []
            for index in range(count):
                blocks.append(block(channels, planes, 2 if stage and not index else 1, option))
                channels = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        for stage in range(len(self.counts)):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.linear(functional.avg_pool2d(x, x.shape[-1]).flatten(1))


def wrapped(model: nn.Module) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in model.state_dict().items()}


def akamaster(path: Path, model: nn.Module) -> None:
    torch.save({"state_dict": wrapped(model), "best_prec1": 91.78}, path)


def kuangliu(path: Path, model: nn.Module) -> None:
    torch.save({"net": wrapped(model), "acc": 95.3, "epoch": 199}, path)


def bare(path: Path, model: nn.Module) -> None:
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)  # as torchvision's older files


def safe(path: Path, model: nn.Module) -> None:
    save_file(dict(model.state_dict()), path)


PROJECTS = {
    "akamaster-A": (Theirs(Basic, (3, 3, 3), 16, "A"), akamaster, "r.th", ModelConfig(model="resnet20"), "A", "imagenet"),
    "akamaster-B": (Theirs(Basic, (1, 1, 1), 8, "B"), bare, "r.th", ModelConfig(model="resnet8", width=0.5), "B", "imagenet"),
    "kuangliu-18": (Theirs(Basic, (2, 2, 2, 2), 16), kuangliu, "ckpt.pth", ModelConfig(model="resnet18", width=0.25), "B", "cifar"),
    "kuangliu-50": (Theirs(Bottle, (3, 4, 6, 3), 8), safe, "r.safetensors", ModelConfig(model="resnet50", width=0.125), "B", "cifar"),
}


@pytest.mark.parametrize("project", PROJECTS)
def test_a_file_of_another_project_is_the_same_function_here(project: str, tmp_path: Path) -> None:
    theirs, save, name, config, option, normalisation = PROJECTS[project]
    shake(theirs)
    theirs.eval()
    save(tmp_path / name, theirs)
    done = import_weights(tmp_path / name, tmp_path / "ours.safetensors", config)
    assert (done.config.option, done.normalisation, done.parameters) == (option, normalisation, sum(p.numel() for p in theirs.parameters()))
    assert done.fitted.fresh == done.fitted.averaged == done.fitted.unused == ()
    checkpoint = read_checkpoint(tmp_path / "ours.safetensors")
    assert (checkpoint.spec.channels, checkpoint.spec.height, checkpoint.spec.classes[0]) == (3, 32, "airplane")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(load_model(checkpoint)(images), theirs(images), rtol=1e-5, atol=1e-5)  # their mean sums in another order


def test_weights_that_are_not_finite_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, save, *_ = PROJECTS["akamaster-A"]
    theirs = copy.deepcopy(theirs)
    with torch.no_grad():
        theirs.bn1.weight[3] = torch.nan
    save(tmp_path / "r.th", theirs)
    to = tmp_path / "ours.safetensors"
    assert run(["import-weights", str(tmp_path / "r.th"), "--as", "resnet20", "--to", str(to)]) == 0
    assert "holds nan or infinity: stem.norm.weight" in capsys.readouterr().err
    assert run(["evaluate", str(to), "--dataset", "cifar10-jpg-sample"]) == 0
    output = capsys.readouterr()
    assert "its outputs are not finite" in output.out
    assert "Warning" not in output.err


@pytest.mark.parametrize("attribute", ["model.", "net.", "model.backbone."])
def test_the_attribute_in_which_a_lightning_module_keeps_its_network_is_left_out(attribute: str, tmp_path: Path) -> None:
    theirs, *_ = PROJECTS["akamaster-A"]
    torch.save({"state_dict": {f"{attribute}{name}": tensor for name, tensor in theirs.state_dict().items()}}, tmp_path / "epoch=9.ckpt")
    assert sorted(read_weights(tmp_path / "epoch=9.ckpt")) == sorted(theirs.state_dict())


def test_a_loss_with_weights_beside_the_network_is_no_obstacle(tmp_path: Path) -> None:
    theirs, *_ = PROJECTS["akamaster-A"]
    weights = {f"model.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"state_dict": {**weights, "criterion.weight": torch.ones(10)}}, tmp_path / "epoch=9.ckpt")
    assert sorted(read_weights(tmp_path / "epoch=9.ckpt")) == sorted([*theirs.state_dict(), "criterion.weight"])


def test_plain_values_that_training_scripts_save_beside_weights_run_nothing(tmp_path: Path) -> None:
    beside = {"args": argparse.Namespace(lr=0.1), "best": np.float64(0.5), "epoch": np.int64(3)}
    torch.save({"model": {"conv1.weight": torch.ones(2, 1, 3, 3)}, **beside}, tmp_path / "checkpoint.pth")
    assert list(read_weights(tmp_path / "checkpoint.pth")) == ["conv1.weight"]


def test_a_trained_stem_is_kept_whatever_the_size_of_the_images(tmp_path: Path) -> None:
    """64 px would choose a stem of 3x3, and the file's 7x7 one would be thrown away."""
    theirs = torchvision.models.resnet18(num_classes=10)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    for place in ({"image_size": 64}, {"dataset": "cifar10-jpg-sample"}):
        done = import_weights(tmp_path / "theirs.pth", tmp_path / "ours.safetensors", ModelConfig(model="resnet18"), **place)
        assert done.config.stem == "imagenet"
        assert "stem.conv.weight" in done.fitted.kept
        assert done.spec.height == place.get("image_size", 32)


def test_names_that_only_partly_begin_alike_are_left_alone(tmp_path: Path) -> None:
    torch.save({"model.fc.weight": torch.ones(2, 2), "encoder.weight": torch.ones(2)}, tmp_path / "w.pth")
    assert sorted(read_weights(tmp_path / "w.pth")) == ["encoder.weight", "model.fc.weight"]


def test_a_torchvision_network_on_grey_images_answers_as_it_did_on_grey_in_three_channels(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18(num_classes=10).eval()
    shake(theirs)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    done = import_weights(
        tmp_path / "resnet18.pth", tmp_path / "o.safetensors", ModelConfig(model="resnet18", stem="imagenet"), dataset="mnist-mini"
    )
    assert done.fitted.averaged == ("stem.conv.weight",)
    assert (done.fitted.fresh, done.normalisation) == ((), "dataset")
    grey = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        ours = load_model(read_checkpoint(done.path))(grey)
        torch.testing.assert_close(ours, theirs(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_what_was_kept_and_what_was_drawn_afresh_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """7x7x3 on a 3x3x1 stem, 1000 classes on 10: the first convolution and the head are new, everything else is theirs."""
    theirs = torchvision.models.resnet18().state_dict()
    torch.save(theirs, tmp_path / "resnet18.pth")
    told = ["import-weights", str(tmp_path / "resnet18.pth"), "--as", "resnet18", "--dataset", "mnist-mini", "--to", str(tmp_path / "ours")]
    assert run([*told, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["missing"] == ["stem.conv.weight", "head.fc.weight", "head.fc.bias"]
    assert (said["unexpected"], said["averaged"], said["kept"], said["parameters"]) == ([], [], len(theirs) - 3, 11_172_810)
    weights = load_model(read_checkpoint(tmp_path / "ours.safetensors")).state_dict()
    assert torch.equal(weights["stages.3.1.residual.conv2.weight"], theirs["layer4.1.conv2.weight"])
    drawn = build_model(ModelConfig(model="resnet18", option="B"), MNIST).state_dict()
    assert torch.equal(weights["stem.conv.weight"], drawn["stem.conv.weight"])
    assert run(told) == 0
    assert "drawn afresh, to be trained: stem.conv.weight, head.fc.weight, head.fc.bias" in capsys.readouterr().err


def test_names_of_torchvision_s_older_files_are_known() -> None:
    ours = build_model(ModelConfig(model="densenet121", width=0.25), CIFAR)
    older = {}
    for name, tensor in ours.state_dict().items():
        for layer in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{layer}.", f".{layer[:-1]}.{layer[-1]}.") if "denselayer" in name else name
        older[name] = tensor + 1
    assert any(".norm.1." in name for name in older)
    fitted = fit_weights(ours, older, source="file", name="densenet121")
    assert all(torch.equal(fitted.weights[name], tensor + 1) for name, tensor in ours.state_dict().items())


# -- what does not fit -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "mismatch"),
    [
        ("resnet32", "stages.0.3.residual.conv1.weight - -> 16x16x3x3"),
        ("plain14", "layer1.2.conv1.weight 16x16x3x3 -> -"),
        ("resnet18", "conv1.weight 16x3x3x3 -> 64x3x3x3"),
        ("vgg11", "linear.weight / features.0.weight 10x64 -> 64x3x3x3"),
    ],
)
def test_weights_of_another_network_are_refused_with_three_mismatches(model: str, mismatch: str, tmp_path: Path) -> None:
    akamaster(tmp_path / "r.th", Theirs(Basic, (3, 3, 3), 16, "A"))
    with pytest.raises(UserError) as caught:
        import_weights(tmp_path / "r.th", tmp_path / "o.safetensors", ModelConfig(model=model))
    assert caught.value.code == "weights_do_not_fit"
    listed = str(caught.value.values["mismatches"]).split("; ")
    assert len(listed) == 3
    assert listed[0] == mismatch
    assert not (tmp_path / "o.safetensors").exists()


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def whole(path: Path) -> None:
    torch.save(torchvision.models.alexnet(num_classes=2), path)


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "empty": (lambda path: path.write_bytes(b""), "weights_damaged", "the file is empty"),
    "text": (lambda path: path.write_text("these are weights\n" * 9), "weights_damaged", ""),
    "cut": (lambda path: (safe(path, nn.Linear(99, 9)), path.write_bytes(path.read_bytes()[:-99])), "weights_damaged", ""),
    "cut-zip": (
        lambda path: (torch.save({"a": torch.ones(99)}, path), path.write_bytes(path.read_bytes()[:-99])),
        "weights_damaged",
        "the end of the file is missing",
    ),
    "code": (lambda path: torch.save({"state_dict": Bomb(path.with_name("ran"))}, path), "weights_unsafe", "system"),
    "plain pickle with code": (
        lambda path: path.write_bytes(pickle.dumps(Bomb(path.with_name("ran")), protocol=2)),
        "weights_unsafe",
        "system",
    ),
    "a plain pickle of today": (
        lambda path: path.write_bytes(pickle.dumps({"a": 1}, protocol=4)),
        "weights_damaged",
        "(Unsupported operand 149)",
    ),
    "a whole network": (whole, "weights_unsafe", "torchvision.models.alexnet.AlexNet"),
    "a tensor": (lambda path: torch.save(torch.ones(3), path), "weights_unknown", "Tensor"),
    "a dict of numbers": (lambda path: torch.save({"epoch": 3, "lr": 0.1}, path), "weights_unknown", "epoch, lr"),
    "a folder": (lambda path: path.mkdir(), "file_missing", ""),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_that_cannot_be_weights(bad: str, tmp_path: Path) -> None:
    write, code, reason = BAD[bad]
    write(tmp_path / "weights.pth")
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / "weights.pth")
    assert caught.value.code == code
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value), "advice to run the file's code"
    assert not (tmp_path / "ran").exists()


# -- published weights -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's cache in an empty folder, and no network."""

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.mark.parametrize(
    ("name", "file", "fresh", "averaged"),
    [
        ("resnet18", "resnet18-f37072fd.pth", {"stem.conv", "head.fc"}, set()),
        ("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth", {"classifier.3"}, {"features.0.0"}),
        ("googlenet", "googlenet-1378be20.pth", {"conv1.conv", "fc"}, set()),
    ],
)
def test_published_weights_come_from_the_loader_s_cache(name: str, file: str, fresh: set[str], averaged: set[str], hub: Path) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(**({"init_weights": False} if name == "googlenet" else {})).to_empty(device="cpu")
    for tensor in theirs.state_dict().values():
        tensor.fill_(0.25)
    torch.save(theirs.state_dict(), hub / file)
    found = pretrained_state(ModelConfig(model=name), MNIST)
    layers = [{tensor.rpartition(".")[0] for tensor in names} for names in (found.fresh, found.averaged)]
    assert layers == [fresh, averaged]
    assert found.source.endswith(file)
    assert all((found.weights[tensor] == 0.25).all() for tensor in found.kept if "num_batches" not in tensor)
    assert all(torch.allclose(found.weights[tensor], torch.tensor(0.75)) for tensor in found.averaged)
    build_model(ModelConfig(model=name), MNIST, seed=None).load_state_dict(found.weights)


def test_a_transformer_s_positions_are_resampled_to_its_grid(hub: Path) -> None:
    """A plane stays a plane: position (row, column) of a 14 x 14 grid holds its place, and so it does on 7 x 7."""
    with torch.device("meta"):
        theirs = torchvision.models.vit_b_16().state_dict()
    weights = {name: torch.zeros(tensor.shape) for name, tensor in theirs.items()}
    places = (torch.arange(14) + 0.5) / 14
    grid = places[:, None].expand(14, 14).flatten()
    weights["encoder.pos_embedding"] = torch.cat([torch.tensor([9.0]), grid])[None, :, None].expand(1, 197, 768).clone()
    torch.save(weights, hub / "vit_b_16-c867db91.pth")
    found = pretrained_state(ModelConfig(model="vit_b_16"), MNIST)
    positions = found.weights["encoder.pos_embedding"][0, :, 0]
    assert (found.resampled, positions[0]) == (("encoder.pos_embedding",), 9)
    inner = positions[1:].view(7, 7)[1:-1, 0]
    assert torch.allclose(inner, ((torch.arange(7) + 0.5) / 7)[1:-1], atol=1e-3)


def test_without_network_the_file_and_its_place_are_named(hub: Path) -> None:
    with pytest.raises(UserError) as caught:
        pretrained_state(ModelConfig(model="resnet18"), MNIST)
    assert caught.value.code == "pretrained_unreachable"
    assert (
        f"https://download.pytorch.org/models/resnet18-f37072fd.pth (no network); connect to the network, or put the file into {hub}"
        in str(caught.value)
    )
    (hub / "resnet18-f37072fd.pth").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError) as caught:
        pretrained_state(ModelConfig(model="resnet18"), MNIST)
    assert caught.value.code == "weights_damaged"
    with pytest.raises(UserError) as caught:
        pretrained_state(ModelConfig(model="resnet20"), CIFAR)
    assert caught.value.code == "pretrained_unavailable"


TIMM_TRIAL = """
import json, sys
from resnet_core.config import ModelConfig
from resnet_core.errors import UserError
from resnet_core.models.pretrained import pretrained_state
from tests.core.models.conftest import spec
found = pretrained_state(ModelConfig(model="deit_tiny"), spec(1, 28, 10))
try:
    pretrained_state(ModelConfig(model="seresnet50"), spec(1, 28, 10))
except UserError as error:
    print(json.dumps([found.source, found.fresh, found.resampled, len(found.kept), error.code, str(error.values["path"])]))
"""


@pytest.mark.long
def test_timm_s_weights_come_from_its_loader_s_cache(tmp_path: Path) -> None:
    """A process of its own: huggingface_hub reads where its cache is when it is imported. What is not there is named, offline."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in timm.create_model("deit_tiny_patch16_224").state_dict().items()}
    snapshot = tmp_path / "models--timm--deit_tiny_patch16_224.fb_in1k"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs" / "main").write_text("0" * 40)
    (snapshot / "snapshots" / ("0" * 40)).mkdir(parents=True)
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    save_file(weights, snapshot / "snapshots" / ("0" * 40) / "model.safetensors", metadata={"format": "pt"})
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", TIMM_TRIAL], env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    source, fresh, resampled, kept, code, place = json.loads(done.stdout)
    assert source == "timm/deit_tiny_patch16_224.fb_in1k"
    assert fresh == ["patch_embed.proj.weight", "head.weight", "head.bias"]
    assert (resampled, kept) == (["pos_embed"], len(shapes) - 4)
    assert (code, place) == ("pretrained_unreachable", str(tmp_path))


def test_moco_v3_s_encoder_is_taken_out_of_its_checkpoint(hub: Path) -> None:
    """module.base_encoder.* without its projector, as ViT-S; the momentum encoder and the predictor stay where they are."""
    pytest.importorskip("timm", reason="timm is not installed")
    encoder = build_model(ModelConfig(model="mocov3_vit_small"), spec(3, 224, 10), seed=None).state_dict()
    inside = {f"module.base_encoder.{name}": torch.full_like(tensor, 0.5) for name, tensor in encoder.items() if "head" not in name}
    others = {"module.base_encoder.head.0.weight": torch.ones(3), "module.momentum_encoder.norm.weight": torch.ones(384)}
    torch.save({"state_dict": {**inside, **others}, "epoch": 300}, hub / "vit-s-300ep.pth.tar")
    found = pretrained_state(ModelConfig(model="mocov3_vit_small"), spec(3, 224, 10))
    assert set(found.fresh) == {"head.weight", "head.bias"}
    assert all((found.weights[name] == 0.5).all() for name in found.kept)
    assert len(found.kept) == len(inside)


# -- real weights, where somebody has them -----------------------------------------------------------------------------------------------------

# |F| / |x| per block of akamaster's published networks on every 40th image of the CIFAR-10 test set (as JPEG files), measured with his own code.
PUBLISHED_RATIOS = {
    "resnet20": "61 63 64 95 60 57 166 118 192",
    "resnet56": "37 37 30 28 21 18 23 27 19 42 20 19 20 18 19 22 21 21 66 40 38 41 44 49 50 53 89",
}
AKAMASTER = "RESNET_AKAMASTER"  # a folder with pretrained_models/*.th of github.com/akamaster/pytorch_resnet_cifar10


@pytest.mark.skipif(AKAMASTER not in os.environ, reason=f"set {AKAMASTER} to a folder with the published .th files")
@pytest.mark.parametrize("name", PUBLISHED_RATIOS)
def test_published_cifar_networks_have_the_ratios_that_were_measured_with_their_own_code(
    name: str, tmp_path: Path, full_data: Path
) -> None:
    file = next(Path(os.environ[AKAMASTER]).glob(f"{name}-*.th"))
    import_weights(file, tmp_path / "o.safetensors", ModelConfig(model=name), dataset="cifar10", normalisation="imagenet")
    checkpoint = read_checkpoint(tmp_path / "o.safetensors")
    _, images = load_split(DataConfig(dataset="cifar10-jpg"), "test", root=full_data)
    model, chosen = load_model(checkpoint), images.take(torch.arange(0, len(images), 40))
    inputs = normalize(chosen.images, checkpoint.spec)
    with torch.no_grad():
        accuracy = float((model(inputs).argmax(1) == chosen.labels).float().mean())
    assert accuracy > 0.8, "the JPEG files cost about ten points"
    ratios = [row.ratio for row in residual_statistics(model, inputs)]
    assert ratios == pytest.approx([int(number) / 100 for number in PUBLISHED_RATIOS[name].split()], abs=0.03)
