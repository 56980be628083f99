"""Start from other weights: a checkpoint's, or the published ones. What a network needs otherwise than they have it is said, tensor by tensor."""

from dataclasses import dataclass

import torch
from safetensors import safe_open
from torch import Tensor

from resnet_core.config import ModelConfig, RunConfig
from resnet_core.data import DataSpec
from resnet_core.errors import UserError
from resnet_core.models import build_model, original_spec
from resnet_core.models.foreign import COUNTER, FittedWeights, fit_weights
from resnet_core.models.pretrained import has_pretrained, pretrained_state
from resnet_core.runs.checkpoint import Checkpoint, load_weights
from resnet_core.runs.opening import find_checkpoint
from resnet_core.runs.store import Store

PRETRAINED = "pretrained"
META = torch.device("meta")


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Names of the tensors that are kept as they are, averaged over channels or resampled (`fitted`), and drawn afresh."""

    kept: tuple[str, ...]
    fitted: tuple[str, ...]
    fresh: tuple[str, ...]

    @classmethod
    def of(cls, weights: FittedWeights) -> "Transfer":
        counted = [
            tuple(n for n in names if not n.endswith(COUNTER))
            for names in (weights.kept, weights.averaged + weights.resampled, weights.fresh)
        ]
        return cls(kept=counted[0], fitted=counted[1], fresh=counted[2])


def start_weights(config: RunConfig, spec: DataSpec, *, store: Store | None = None) -> FittedWeights | None:
    """All weights that a run begins with, its own random ones where others do not fit; None where it starts afresh.

    Raises weights_do_not_fit and what opening or fetching them raises.
    """
    source, seed = config.train.start_from, config.train.seed
    if source is None:
        return None
    if source == PRETRAINED:
        return pretrained_state(config.model, spec, seed=seed)
    weights = load_weights(find_checkpoint(source, store=store))
    return fit_weights(build_model(config.model, spec, seed=seed), weights, source=source, name=config.model.model)


def plan_start(config: RunConfig, spec: DataSpec, *, store: Store | None = None) -> Transfer | None:
    """What `start_weights` will keep, found out from names and shapes alone: no weight is read, fetched or allocated.

    Raises, at the setting `start_from`, what can be known to be wrong by now.
    """
    source = config.train.start_from
    if source is None:
        return None
    theirs = _published_shapes(config.model) if source == PRETRAINED else _shapes(find_checkpoint(source, store=store))
    model = build_model(config.model, spec, seed=None, device=META)
    try:
        return Transfer.of(fit_weights(model, theirs, source=source, name=config.model.model))
    except UserError as error:
        values = {key: value for key, value in error.values.items() if key != "field"}
        raise UserError(error.code, field="start_from", **values) from error


def _published_shapes(model: ModelConfig) -> dict[str, Tensor]:
    """The published networks are the originals."""
    if not has_pretrained(model.model):
        raise UserError("pretrained_unavailable", field="start_from", model=model.model)
    original = build_model(ModelConfig(model=model.model), original_spec(model.model), seed=None, device=META)
    return {name: _shaped(*tensor.shape) for name, tensor in original.state_dict().items()}


def _shapes(checkpoint: Checkpoint) -> dict[str, Tensor]:
    with safe_open(checkpoint.path, framework="pt") as file:
        return {name: _shaped(*file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


def _shaped(*shape: int) -> Tensor:
    """One number seen as a tensor of this shape. Arithmetic with tensors on `meta` would load torch's compiler: 150 MB."""
    return torch.zeros(()).expand(shape)
