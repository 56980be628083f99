"""Several processes that train one network together, as `torchrun` starts them: each takes a share of every batch.

Gradients travel over NCCL between GPUs and over gloo between CPUs. Words (settings, "stop") always go over gloo, on the CPU's memory: reading
one never makes a GPU wait, and a process that dies is noticed at once.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from resnet_core.errors import UserError

PATIENCE = timedelta(days=30)  # a paused training, or one that waits for its turn, says nothing for long
TROUBLE = "trouble"  # under this key lies why a process gave up
# What torchrun tells every process in its environment, beside names that begin with TORCHELASTIC_.
TOLD = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME",
    "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS",
)  # fmt: skip
LINES = ("gloo", "nccl", "connection", "socket")  # words of errors between processes


@dataclass(frozen=True, kw_only=True)
class Team:
    """One process's place among those that train together; `words` is their line for settings and decisions."""

    rank: int = 0
    size: int = 1
    words: Any = None  # a torch.distributed.ProcessGroup

    @property
    def leads(self) -> bool:
        """Whether this one writes: the store, files, the terminal."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self.size == 1

    def share(self, count: int) -> slice:
        """The places of so many images that this process takes."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def part(self, count: int, least: int = 1) -> tuple[slice, float]:
        """The places of a training batch that this process takes, and the weight of its mean in the mean over the batch.

        Of a last batch too small for `least` images each, every process takes all.
        """
        if count < least * self.size:
            return slice(0, count), 1 / self.size
        share = self.share(count)
        return share, (share.stop - share.start) / count

    def tell(self, value: Any = None) -> Any:
        """What the leading process gives, on every process."""
        if self.is_alone:
            return value
        told = [value]
        dist.broadcast_object_list(told, src=0, group=self.words, device=torch.device("cpu"))
        return told[0]

    def any(self, wish: bool) -> bool:
        """Whether one of them wishes it."""
        if self.is_alone:
            return wish
        wishes = torch.tensor([wish], dtype=torch.uint8)
        dist.all_reduce(wishes, op=dist.ReduceOp.MAX, group=self.words)
        return bool(wishes[0])

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes; in place, on the values' own device."""
        if not self.is_alone:
            dist.all_reduce(values)
        return values

    def report(self, trouble: str) -> None:
        """Leave word of why this process gives up, for the leading one to tell."""
        if not self.is_alone:
            with contextlib.suppress(RuntimeError):  # the store may be gone with the leading process
                dist.distributed_c10d._get_default_store().set(TROUBLE, trouble)

    def trouble(self) -> str | None:
        """What another process left."""
        if self.is_alone:
            return None
        try:
            store = dist.distributed_c10d._get_default_store()
            return store.get(TROUBLE).decode() if store.check([TROUBLE]) else None
        except RuntimeError:
            return None

    def is_broken_by(self, problem: BaseException) -> bool:
        """Whether this is how it shows that another process is gone."""
        return not self.is_alone and isinstance(problem, RuntimeError) and any(word in str(problem).lower() for word in LINES)


ALONE = Team()


def asked_processes() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for what a member starts that is no member: without its place in the team, and with all cores again."""
    if asked_processes() == 1:
        return dict(environment)
    return {name: value for name, value in environment.items() if name not in TOLD and not name.startswith("TORCHELASTIC_")}


@contextmanager
def joined() -> Iterator[Team]:
    """This process among those that torchrun started, or alone."""
    if asked_processes() == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend)
    try:
        yield Team(rank=dist.get_rank(), size=dist.get_world_size(), words=dist.new_group(backend="gloo", timeout=PATIENCE))
    finally:
        dist.destroy_process_group()


def distributed(model: nn.Module, device: torch.device) -> nn.Module:
    """The network whose backward pass leaves the mean of all processes' gradients.

    Parameters begin as the leading process's, and its running statistics are everybody's at every step.
    """
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def require_shares(batch_size: int, size: int) -> None:
    """Two images each at least, since BatchNorm cannot use one."""
    if batch_size < 2 * size:
        each = f" (2 for each of {size} processes)" if size > 1 else ""
        raise UserError("out_of_range", field="batch_size", value=batch_size, range=f"at least {2 * size}{each}")


# -- BatchNorm over the whole batch ------------------------------------------------------------------------------------------------


def synchronized_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """The same network, its BatchNorms normalising with the statistics of all processes' images."""
    if device.type == "cuda":
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        if any(_is_followed(module) for module in model.modules()):
            from timm.layers import convert_sync_batchnorm as convert  # type: ignore[attr-defined]  # torch's own would drop what follows
        return convert(model)  # type: ignore[no-any-return,no-untyped-call]
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, SharedBatchNorm.of(child))
    return model


def _is_followed(module: nn.Module) -> bool:
    """Whether it is one of timm's BatchNorms that drop and activate, too."""
    return isinstance(module, nn.BatchNorm2d) and hasattr(module, "drop") and hasattr(module, "act")


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm over all processes' images where torch's SyncBatchNorm, which is for GPUs, does not run; `after` is what follows in it."""

    def __init__(self, num_features: int, *settings: Any) -> None:
        super().__init__(num_features, *settings)
        self.after: nn.Module = nn.Identity()

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "SharedBatchNorm":
        """With the same parameters and running statistics, not copies of them."""
        shared = cls(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
            setattr(shared, name, tensor)
        if _is_followed(norm):
            shared.after = nn.Sequential(norm.drop, norm.act)  # type: ignore[arg-type]
        return shared.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        return self.after(self._normalised(x))  # type: ignore[no-any-return]

    def _normalised(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        precise = x.float()
        ones = torch.full((1,), x.numel() / x.shape[1], device=x.device)
        sums = _summed(torch.cat([precise.sum((0, 2, 3)), ones]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = precise - mean.view(1, -1, 1, 1)
        variance = _summed(centred.square().sum((0, 2, 3))) / count
        self._keep(mean.detach(), variance.detach(), count)
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
            return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)
        return (centred * scale.view(1, -1, 1, 1)).to(x.dtype)

    def _keep(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Running statistics move as torch's do, with the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance * count / (count - 1), step)


class _Summed(torch.autograd.Function):
    """Sum over all processes, whose gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient


def _summed(values: Tensor) -> Tensor:
    return _Summed.apply(values)  # type: ignore[no-any-return]
