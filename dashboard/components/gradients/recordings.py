"""Gradient norms that were kept while a network trained: of a run on this machine, or in the file of one that came with the project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.components.gradients.data import twin_of
from dashboard.components.names import network_label
from dashboard.components.training.data import steps_of
from dashboard.loading import store
from resnet_core.runs import Checkpoint, Run, read_blocks, shipped_blocks, shipped_gradient_norms, shipped_names

PARTS, LAYERS = ROWS = ("parts", "layers")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One network's training: either `run` or `checkpoint` is set."""

    run: Run | None = None
    checkpoint: Checkpoint | None = None

    @property
    def name(self) -> str:
        return self.run.run if self.run else self._shipped.name

    @property
    def model_name(self) -> str:
        return self.run.model_name if self.run else self._shipped.model_name

    @property
    def title(self) -> str:
        if self.run is None:
            return self._shipped.name
        own = self.run.run.rpartition("-")[2] if self.run.name == self.run.run else self.run.name
        return f"{network_label(self.run.model_name)} · {self.run.dataset} · {own}"

    @property
    def is_going_on(self) -> bool:
        return self.run is not None and self.run.is_going_on

    @property
    def has_begun(self) -> bool:
        """There are steps to draw."""
        return self.run is None or self.run.step > 0

    @property
    def total_steps(self) -> int:
        """How long the training is going to be, or was."""
        return self.run.total_steps if self.run else max([*self.part_norms()[0], *self.layer_norms()[0]])

    @property
    def _shipped(self) -> Checkpoint:
        assert self.checkpoint is not None
        return self.checkpoint

    def part_norms(self) -> tuple[Sequence[int], Mapping[str, Sequence[float]]]:
        """The steps, and the norms of stem, stages and head at each: all of a run's, some of a shipped network's."""
        if self.run is None:
            return shipped_gradient_norms(self._shipped.metrics)
        steps = steps_of(self.run)
        return steps.step, steps.gradient_norms

    def layer_norms(self) -> tuple[Sequence[int], Mapping[tuple[str, str], Sequence[float | None]]]:
        """The steps at which blocks were recorded, and norms by (block, layer inside it); trainings of older versions have none."""
        recorded = read_blocks(store(), self.run.run) if self.run else shipped_blocks(self._shipped.metrics)
        norms = {
            step: {(block.name, layer): norm for block in blocks for layer, norm in (block.layer_grad_norms or {}).items()}
            for step, blocks in recorded.items()
        }
        known = {step: by_layer for step, by_layer in norms.items() if by_layer}
        layers = next(iter(known.values()), {})
        return list(known), {layer: [by_layer.get(layer) for by_layer in known.values()] for layer in layers}

    def rows(self) -> tuple[str, ...]:
        """What can be drawn: a run's layers may still come."""
        if self.run is not None:
            return ROWS
        return tuple(row for row, found in ((PARTS, self.part_norms()[0]), (LAYERS, self.layer_norms()[0])) if found)


def recording_of(checkpoint: Checkpoint) -> Recording | None:
    """Of a network that came with the project, where it brought gradients; None for all others."""
    if checkpoint.name not in shipped_names():
        return None
    recording = Recording(checkpoint=checkpoint)
    return recording if recording.rows() else None


def trained_together(recording: Recording) -> tuple[Recording, ...]:
    """With the others of a run's experiment; with the twin that came with a shipped network."""
    if recording.run is not None:
        return tuple(Recording(run=run) for run in store().pair_of(store().run(recording.run.run)))
    twin = twin_of(recording.checkpoint) if recording.checkpoint is not None else None
    other = recording_of(twin.checkpoint) if twin is not None and twin.origin == "shipped" else None
    return (recording, other) if other is not None else (recording,)
