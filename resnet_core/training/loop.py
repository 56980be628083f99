"""The training loop: an iterator of events over a state that can be saved and resumed exactly."""

import dataclasses
import gc
import math
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_core.config import RunConfig
from resnet_core.data import Splits, normalize, spread
from resnet_core.data.draws import Share
from resnet_core.errors import UserError
from resnet_core.inspection.gradients import kept_gradient_norms
from resnet_core.inspection.residual import BlockStatistics, residual_statistics
from resnet_core.models import block_places, build_model, part_of
from resnet_core.training.averaging import average, averaged
from resnet_core.training.batches import Targets, changed_batch
from resnet_core.training.device import FORMATS, ComputePlan, carried_on, device_name, keep_freed_memory, pick_device
from resnet_core.training.evaluate import predict_batches, score
from resnet_core.training.events import BlocksMeasured, EpochDone, Event, RunStarted, StepDone, Validating
from resnet_core.training.freezing import freeze_all_but_head, hold_frozen_statistics, trainable_parameters, unfreeze
from resnet_core.training.optimization import make_optimizer, make_schedule, phase_config, step_plateau, step_schedules
from resnet_core.training.streams import DROPS, epoch_order, seeded, steps_per_epoch
from resnet_core.training.team import ALONE, Team, distributed, require_shares, synchronized_norms
from resnet_core.training.trial import plan_compute

PROBE_IMAGES = 64
GPU_RING = 10  # steps between two looks at a GPU: reading one number makes its whole queue wait


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """A step whose numbers still lie on the device: loss, right ones, gradient norm of every part, (2 + parts,)."""

    step: int
    rate: float
    images: int
    values: Tensor


class Training:
    """A network on its way: iterate `events()`; between any two events `state_dict()` is all that a resume needs."""

    def __init__(
        self,
        config: RunConfig,
        splits: Splits,
        *,
        device: torch.device,
        resume: Mapping[str, Any] | None = None,
        plan: ComputePlan | None = None,
        start_weights: Mapping[str, Tensor] | None = None,
        team: Team = ALONE,
    ) -> None:
        """With a team every process makes its own Training of the same arguments; all of them give the same events at the same time."""
        require_shares(config.train.batch_size, team.size)
        if device.type == "cpu":
            keep_freed_memory()
        self.config, self.spec, self.device, self.team = config, splits.spec, device, team
        self._data = splits.fingerprint()
        if resume:
            self._require_same_images(resume)
        self.train_split, self.valid_split = splits.train.to(device), splits.valid.to(device)
        self.steps_per_epoch = steps_per_epoch(len(self.train_split), config.train.batch_size)
        self.total_steps = config.train.epochs * self.steps_per_epoch
        self.model: nn.Module = build_model(config.model, splits.spec, seed=config.train.seed, device=device)
        if start_weights is not None:
            self.model.load_state_dict(start_weights)
        begun = carried_on(ComputePlan(**resume["plan"]), device) if resume else None
        self.plan = begun or team.tell((plan or self._plan(anew=resume is not None)) if team.leads else None)
        if not team.is_alone:  # its processes may run on different machines, and have to hold their parameters in one order
            self.plan = dataclasses.replace(self.plan, kernels="torch")
        if not team.is_alone and config.train.sync_batchnorm:
            self.model = synchronized_norms(self.model, device)
        self.model.to(memory_format=FORMATS[self.plan.memory_format])
        self.ema = None
        if config.train.ema_decay is not None:
            self.ema = averaged(self.model, config.train.ema_decay)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.plan.precision == "float16")
        self.step, self.epochs_done, self.stale_epochs = 0, 0, 0
        self._rate = config.train.learning_rate  # of the last update
        self.best_accuracy = -1.0
        self.finished = False
        self.sums = torch.zeros(3, dtype=torch.float64)  # loss x images, right ones, images of this epoch so far
        self.epoch_seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self._norms_before: dict[str, float] = {}  # of the last step before a resume, whose gradients are gone
        self.network: nn.Module | None = None  # what is called in training: compiled or distributed, where that is asked for
        self.ring_size = 1 if device.type == "cpu" else GPU_RING
        self._parts: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            self._parts.setdefault(part_of(name), []).append(parameter)
        if resume:
            self._load(resume)
        else:
            self._enter_phase()

    # -- what is kept ------------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """What is evaluated and saved: the averaged weights where averaging is on, else the trained ones."""
        return self._judged().state_dict()

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "data": self._data,
            "plan": dataclasses.asdict(self.plan),
            "step": self.step,
            "epochs_done": self.epochs_done,
            "stale_epochs": self.stale_epochs,
            "best_accuracy": self.best_accuracy,
            "finished": self.finished,
            "sums": self.sums,
            "epoch_seconds": self.epoch_seconds,
            "history": self.history,
            "gradient_norms": kept_gradient_norms(self.model) or self._norms_before,
        }

    def _require_same_images(self, state: Mapping[str, Any]) -> None:
        """An epoch's order is drawn for so many images: with others it would start at another place and see some twice."""
        before = {**self._data, **state.get("data", {})}  # older states say less of them
        if before != self._data:
            code = "data_changed" if before["images"] != self._data["images"] else "data_other"
            raise UserError(code, dataset=self.config.data.dataset, before=before["images"], now=self._data["images"])

    def _load(self, state: Mapping[str, Any]) -> None:
        for name in ("step", "epochs_done", "stale_epochs", "best_accuracy", "finished", "epoch_seconds"):
            setattr(self, name, state[name])
        self._enter_phase()
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
        self.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.sums = state["sums"].clone()
        self.history = list(state["history"])
        self._norms_before = dict(state.get("gradient_norms", {}))

    # -- the iterator --------------------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        yield self._started()
        if self.step == 0 and block_places(self.model):
            yield self._probe()
        while not self.finished:
            yield from self._steps()
            yield from self._epoch_end()

    def _steps(self) -> Iterator[Event]:
        """The rest of the current epoch."""
        epoch = self.epochs_done + 1
        order = epoch_order(len(self.train_split), self.config.train.seed, epoch).to(self.device)
        done = self.step - self.epochs_done * self.steps_per_epoch
        size, every = self.config.train.batch_size, self.config.train.probe_every
        ring: list[_Measured] = []
        self._train_mode()
        if done and every and self.step % every == 0 and done < self.steps_per_epoch:
            yield self._probe()  # resumed at a step whose recording may not have been made
        clock = time.perf_counter()
        batches = [order[position * size : (position + 1) * size] for position in range(done, self.steps_per_epoch)]
        images = self.train_split.batches(self._own(indices) for indices in batches)
        for position, indices, pixels in zip(range(done, self.steps_per_epoch), batches, images, strict=True):
            ring.append(self._update(indices, pixels))
            is_last = position + 1 == self.steps_per_epoch
            records = every is not None and self.step % every == 0 and not is_last
            if len(ring) >= self.ring_size or is_last or records:  # whoever stops at a recording knows all steps before it
                yield from self._step_events(ring, epoch, clock)
                ring, clock = [], time.perf_counter()
            if records:
                yield self._probe()
                clock = time.perf_counter()

    def _update(self, indices: Tensor, pixels: Tensor) -> "_Measured":
        """One optimizer update on the images at these places of the training split (B,); `pixels` are this process's own of them."""
        train = self.config.train
        rate = self._rate = float(self.optimizer.param_groups[0]["lr"])
        batch, targets = self._batch(indices, pixels)
        self._seed_drops()
        assert self.network is not None
        with self.plan.computing(self.device):
            logits = self.network(batch)
        logits = logits.float()
        loss, told = self._shared(targets.loss(logits), targets.right(logits), len(indices))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norms = self._gradient_norms()
        if train.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), train.clip_norm)
        if self.ring_size == 1:
            self._raise_unless_finite(float(told[0]), self.step + 1, rate)  # before the update: the weights stay good
        self.scaler.step(self.optimizer)
        self.scaler.update()
        step_schedules(self.schedules)
        if self.ema is not None and train.ema_decay is not None:
            average(self.ema, self.model, train.ema_decay, first=self.step == 0)
        self.step += 1
        return _Measured(step=self.step, rate=rate, images=len(indices), values=torch.cat([told, norms]))

    def _own(self, indices: Tensor) -> Tensor:
        """Which of the step's images this process prepares: with mixup all, since an image's partner may be any of them."""
        return indices if self.config.augment.mixup > 0 else indices[self._part(len(indices))[0]]

    def _batch(self, indices: Tensor, pixels: Tensor) -> tuple[Tensor, Targets]:
        """This process's images of the step, augmented and normalised (B, C, H, W), and what is asked of the answers."""
        places = self._part(len(indices))[0]
        share = None if len(pixels) == len(indices) else Share(places=places, total=len(indices))
        images, targets = changed_batch(self.config, self.spec, pixels, self.train_split.labels[self._own(indices)], self.step, share)
        if share is None:
            images, targets = images[places], targets.at(places)
        return normalize(images, self.spec).to(memory_format=FORMATS[self.plan.memory_format]), targets

    def _shared(self, loss: Tensor, right: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The loss to go back from, and (the mean loss, right ones) over all processes' images, (2,).

        Processes may have a different number of images, and their gradients are averaged: each loss is weighed so that the mean of
        the gradients is the gradient of the mean over all images.
        """
        if self.team.is_alone:
            return loss, torch.stack([loss.detach(), right.float()])
        places, weight = self._part(count)
        seen = weight * count / (places.stop - places.start)  # less than 1 where every process has the same images
        told = self.team.total(torch.stack([weight * loss.detach(), seen * right.float()]))
        return loss * (weight * self.team.size), told

    def _part(self, count: int) -> tuple[slice, float]:
        """A BatchNorm with statistics of its own cannot use a single image."""
        return self.team.part(count, least=1 if self.config.train.sync_batchnorm else 2)

    def _seed_drops(self) -> None:
        """Stochastic depth and dropout draw from the global stream; the processes of a team drop different images."""
        place = (DROPS, self.step) if self.team.leads else (DROPS, self.step, self.team.rank)
        torch.manual_seed(seeded(self.config.train.seed, *place).initial_seed())

    def _step_events(self, ring: "list[_Measured]", epoch: int, clock: float) -> Iterator[Event]:
        """The events of the steps in the ring, whose numbers come from the device in one copy."""
        values = torch.stack([item.values for item in ring]).cpu().double()
        seconds = time.perf_counter() - clock
        self.epoch_seconds += seconds
        images = torch.tensor([item.images for item in ring], dtype=torch.float64)
        self.sums += torch.stack([(values[:, 0] * images).sum(), values[:, 1].sum(), images.sum()])
        speed = float(images.sum()) / seconds
        for item, (loss, _, *norms) in zip(ring, values.tolist(), strict=True):
            self._raise_unless_finite(loss, item.step, item.rate)
            yield StepDone(
                step=item.step,
                epoch=epoch,
                loss=loss,
                learning_rate=item.rate,
                images_per_second=speed,
                stage_gradient_norms=dict(zip(self._parts, norms, strict=True)),
            )

    def _epoch_end(self) -> Iterator[Event]:
        """Validate, compare with the best, move the plateau schedule, decide whether this was the last epoch."""
        start = time.perf_counter()
        self._require_finite_weights()
        valid_loss, valid_accuracy = yield from self._validation()
        statistics = self._measure_blocks()
        best = valid_accuracy > self.best_accuracy
        train_loss, right, images = self.sums.tolist()
        event = EpochDone(
            epoch=self.epochs_done + 1,
            step=self.step,
            train_loss=train_loss / images,
            train_accuracy=right / images,
            valid_loss=valid_loss,
            valid_accuracy=valid_accuracy,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            images_per_second=images / self.epoch_seconds,
            seconds=self.epoch_seconds + time.perf_counter() - start,
            best=best,
            trainable=trainable_parameters(self.model),
            block_statistics=statistics,
        )
        self._close_epoch(event)
        yield event

    def _validation(self) -> Generator[Event, None, tuple[float, float]]:
        """Loss and accuracy on the validation split; a team shares the images."""
        count, classes = len(self.valid_split), len(self.spec.classes)
        places = self.team.share(count)
        split = self.valid_split if self.team.is_alone else self.valid_split.take(torch.arange(places.start, places.stop))
        logits = torch.zeros(count, classes, device=self.device)
        start = places.start
        for done, part in predict_batches(self._judged(), split, self.spec, device=self.device, plan=self.plan):
            logits[start : places.start + done] = part
            start = places.start + done
            if self.team.is_alone:  # in a team some may have a batch more than others, and events come at the same time
                yield Validating(done=done, total=count)
        self.team.total(logits)
        if not self.team.is_alone:
            yield Validating(done=count, total=count)
        valid = score(logits, self.valid_split.labels, classes) if self.team.leads else None
        found: tuple[float, float] = self.team.tell((valid.loss, valid.accuracy) if valid is not None else None)
        return found

    def _close_epoch(self, event: EpochDone) -> None:
        step_plateau(self.schedules, event.valid_loss)
        self.best_accuracy = max(self.best_accuracy, event.valid_accuracy)
        self.stale_epochs = 0 if event.best else self.stale_epochs + 1
        self.epochs_done += 1
        self.sums, self.epoch_seconds = torch.zeros(3, dtype=torch.float64), 0.0
        row = dataclasses.asdict(event)
        del row["block_statistics"]
        self.history.append(row)
        patience = self.config.train.patience
        self.finished = self.epochs_done >= self.config.train.epochs or (patience is not None and self.stale_epochs >= patience)
        if not self.finished and self.epochs_done == self.config.train.freeze_epochs:
            self._enter_phase()

    def fitting_batch_size(self) -> int:
        """After the device ran out of memory: the largest batch of half, a quarter, ... of the wanted size whose step fits. Weights are lost."""
        size = self.config.train.batch_size
        self.optimizer.zero_grad(set_to_none=True)
        while size > 2:
            size //= 2
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            try:
                indices = torch.arange(min(size, len(self.train_split)))
                self._update(indices.to(self.device), self.train_split.images[indices.to(self.device)])
            except RuntimeError:  # out of memory too, or what cuBLAS and cuDNN say when they find no room
                continue
            break
        return max(size, 1)

    # -- parts ---------------------------------------------------------------------------------------------------------------------

    def _enter_phase(self) -> None:
        """Set what trains, and with which optimizer and schedule, for the phase that `epochs_done` lies in.

        While the head trains alone everything else has no gradient and is skipped by the optimizer. With a learning rate of its own
        the phase after unfreezing has a new optimizer and a new schedule over the remaining epochs.
        """
        train = self.config.train
        frozen = self.epochs_done < train.freeze_epochs
        freeze_all_but_head(self.model) if frozen else unfreeze(self.model)
        self._connect()
        restarts = train.unfreeze_learning_rate is not None and 0 < train.freeze_epochs < train.epochs
        if self.epochs_done >= train.freeze_epochs > 0 and not restarts and hasattr(self, "optimizer"):
            return
        epochs, rate = train.epochs, train.learning_rate
        if restarts and train.unfreeze_learning_rate is not None:
            epochs = train.freeze_epochs if frozen else train.epochs - train.freeze_epochs
            rate = rate if frozen else train.unfreeze_learning_rate
        phase = phase_config(train, rate)
        self.optimizer = make_optimizer(phase, self.model)
        self.schedules = make_schedule(phase, self.optimizer, self.steps_per_epoch, epochs * self.steps_per_epoch)

    def _connect(self) -> None:
        """The network as it is called in training. One that is distributed knows which parameters have gradients, so each phase has its own."""
        network = self.plan.rewritten(self.model)
        if not self.team.is_alone:
            self.network = None
            gc.collect()  # the earlier phase's one would go on waiting for gradients
            network = distributed(network, self.device)
        self.network = torch.compile(network) if self.config.train.compile else network  # type: ignore[assignment]

    def _train_mode(self) -> None:
        self.model.train()
        if self.epochs_done < self.config.train.freeze_epochs and self.config.train.freeze_statistics:
            hold_frozen_statistics(self.model)

    def _judged(self) -> nn.Module:
        return self.ema.module if self.ema is not None else self.model

    def _plan(self, *, anew: bool = False) -> ComputePlan:
        """What is fastest here; `anew` for a training that began elsewhere, in a precision that this device has not."""
        train = self.config.train
        images, labels = normalize(self.train_split.images[: train.batch_size], self.spec), self.train_split.labels[: train.batch_size]
        if anew:
            train = dataclasses.replace(train, precision="auto", memory_format="auto", convolution="auto", kernels="auto")
        if not self.team.is_alone:
            train = dataclasses.replace(train, kernels="torch")
        return plan_compute(self.model, images, labels, self.device, train)

    def _gradient_norms(self) -> Tensor:
        """L2 norm of the gradient of every part, (parts,), on the device; 0 where a part is frozen."""
        norms = torch.zeros(len(self._parts), device=self.device)
        for index, parameters in enumerate(self._parts.values()):
            gradients = [p.grad for p in parameters if p.grad is not None]
            if gradients:
                norms[index] = torch.stack(torch._foreach_norm(gradients)).norm()
        return norms

    def _probe(self) -> BlocksMeasured:
        return BlocksMeasured(step=self.step, block_statistics=self._measure_blocks())

    def _measure_blocks(self) -> tuple[BlockStatistics, ...]:
        """Statistics of every block on a fixed batch of validation images; in a team the leading process's task."""
        if not block_places(self.model) or not self.team.leads:
            return ()
        norms = kept_gradient_norms(self.model) or self._norms_before
        return tuple(
            dataclasses.replace(block, layer_grad_norms=_inside(block.name, norms) or None)
            for block in residual_statistics(self.model, normalize(self._probed(), self.spec))
        )

    def _probed(self) -> Tensor:
        """From all over the split, which may be sorted by class."""
        return self.valid_split.take(spread(len(self.valid_split), PROBE_IMAGES)).images

    def _raise_unless_finite(self, loss: float, step: int, rate: float) -> None:
        if not math.isfinite(loss):
            raise UserError("loss_not_finite", value=loss, step=step, learning_rate=rate)

    def _require_finite_weights(self) -> None:
        """The loss of a step is that before its update: what the last update of an epoch broke, no loss has told yet."""
        sizes = torch._foreach_norm([p.detach() for p in self._judged().parameters()])  # an average with nan in it is nan
        self._raise_unless_finite(float(torch.stack(sizes).sum()), self.step, self._rate)

    def _started(self) -> RunStarted:
        return RunStarted(
            step=self.step,
            epochs=self.config.train.epochs,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
            parameters=sum(p.numel() for p in self.model.parameters()),
            trainable=trainable_parameters(self.model),
            device=device_name(self.device) if self.team.is_alone else f"{self.team.size} x {device_name(self.device)}",
            precision=self.plan.precision,
            memory_format=self.plan.memory_format,
            convolution=self.plan.convolution,
            kernels=self.plan.kernels,
            timings=dict(self.plan.timings),
            train_images=len(self.train_split),
            valid_images=len(self.valid_split),
        )


def _inside(block: str, norms: Mapping[str, float]) -> dict[str, float]:
    """Of the layers of this block, by their names inside it."""
    return {name.removeprefix(f"{block}."): norm for name, norm in norms.items() if name.startswith(f"{block}.")}


def train(config: RunConfig, splits: Splits, *, device: torch.device | None = None) -> Iterator[Event]:
    """Train from the start; stop by not asking for the next event. `Training` is for those who save and resume."""
    return Training(config, splits, device=device or pick_device(config.train.device)).events()
