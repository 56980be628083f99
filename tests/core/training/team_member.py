"""One process of a team, started by test_team.py: `python team_member.py FOLDER CASE...`; what it measured goes to FOLDER/RANK.pt."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_core.config import RunConfig
from resnet_core.data.spec import DataSpec, Split, Splits
from resnet_core.training import EpochDone, StepDone, Training
from resnet_core.training.team import Team, joined, synchronized_norms

SPEC = DataSpec(name="test", channels=1, height=10, width=10, classes=tuple("0123"), mean=(0.5,), std=(0.29,))
TINY = {"model": "resnet8", "width": 0.5, "precision": "float32", "memory_format": "contiguous", "device": "cpu"}
CPU = torch.device("cpu")


def some(count: int, seed: int) -> Split:
    """Images that can be told apart by their brighter quarter."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    images = torch.randint(0, 160, (count, 1, 10, 10), dtype=torch.uint8, generator=generator)
    for quarter in range(4):
        y, x = 5 * (quarter // 2), 5 * (quarter % 2)
        images[labels == quarter, :, y : y + 5, x : x + 5] += 60
    return Split(images=images, labels=labels)


def splits() -> Splits:
    """Epochs of five batches of 26 and one of 3, which no two processes can share."""
    return Splits(spec=SPEC, train=some(133, 1), valid=some(41, 2), load_test=lambda: some(20, 3))


def train(changes: dict[str, Any], team: Team) -> dict[str, Any]:
    """What a training told, the images it trained on, and its weights."""
    batches: list[torch.Tensor] = []
    training = Training(RunConfig.from_flat({**TINY, "batch_size": 26, **changes}), splits(), device=CPU, team=team)
    training.model.register_forward_pre_hook(lambda module, inputs: batches.append(inputs[0].clone()) if module.training else None)
    events = list(training.events())
    steps = [event for event in events if isinstance(event, StepDone)]
    return {
        "loss": [event.loss for event in steps],
        "norms": [list(event.stage_gradient_norms.values()) for event in steps],
        "epochs": [(e.train_loss, e.train_accuracy, e.valid_loss, e.valid_accuracy) for e in events if isinstance(e, EpochDone)],
        "kinds": [type(event).__name__ for event in events],
        "batches": batches,
        "weights": training.weights(),
        "state": training.state_dict(),
    }


def normalise(team: Team, *, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A BatchNorm's output, gradients and statistics on this process's share of 23 images."""
    generator = torch.Generator().manual_seed(5)
    x = (torch.randn(23, 3, 4, 5, generator=generator) * 3 + 7).to(dtype)
    weights = torch.randn(x.shape, generator=generator)
    norm = nn.Sequential(nn.BatchNorm2d(3))
    with torch.no_grad():
        norm[0].weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
        norm[0].bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    if not team.is_alone:
        norm = synchronized_norms(norm, CPU)
    own = x[team.share(23)].requires_grad_()
    y = norm(own)
    (y.float().sin() * weights[team.share(23)]).sum().backward()
    found = {"y": y, "x": own.grad, "mean": norm[0].running_mean, "variance": norm[0].running_var, "tracked": norm[0].num_batches_tracked}
    found |= {"weight": team.total(norm[0].weight.grad), "bias": team.total(norm[0].bias.grad)}
    return {name: tensor.detach() for name, tensor in found.items() if tensor is not None}


def main() -> None:
    torch.set_num_threads(1)
    folder, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    with joined() as team:
        found = {name: train(changes, team) for name, changes in cases.items()}
        short = normalise(team, dtype=torch.bfloat16)
        torch.save(
            {"norm": normalise(team), "short": short, "cases": found, "told": team.tell(f"from {team.rank}")}, folder / f"{team.rank}.pt"
        )


if __name__ == "__main__":
    main()
