"""Settings that are allowed and make no sense for the data at hand, or for each other: they are warned about, never refused."""

from collections.abc import Callable
from dataclasses import dataclass

from resnet_core.config import RunConfig
from resnet_core.data.augment_warnings import AUGMENT_WARNINGS, augment_warnings
from resnet_core.data.spec import DataSpec

SMALL_SIDE = 64  # px


@dataclass(frozen=True, kw_only=True)
class RunWarning:
    """`sentence` is English; other languages keep theirs under the warning's code. It is shown at the setting `field`."""

    field: str
    applies: Callable[[RunConfig, DataSpec], bool]
    sentence: str


def _is_small(spec: DataSpec) -> bool:
    return max(spec.height, spec.width) <= SMALL_SIDE


def _fresh(config: RunConfig) -> bool:
    return config.train.start_from is None


RUN_WARNINGS: dict[str, RunWarning] = {
    "stem_small_images": RunWarning(
        field="stem",
        applies=lambda config, spec: config.model.stem == "imagenet" and _is_small(spec),
        sentence="A 7x7 stem with stride 2 and a pooling leave 7 x 7 of 28 x 28 pixels before the first block; the small stem keeps them all.",
    ),
    "frozen_fresh": RunWarning(
        field="freeze_epochs",
        applies=lambda config, spec: config.train.freeze_epochs > 0 and _fresh(config),
        sentence="Frozen epochs keep random weights as they are, since nothing is started from; choose a checkpoint to start from.",
    ),
    "frozen_always": RunWarning(
        field="freeze_epochs",
        applies=lambda config, spec: config.train.freeze_epochs >= config.train.epochs,
        sentence="All epochs are frozen: only the head will ever train.",
    ),
    "warmup_always": RunWarning(
        field="warmup_epochs",
        applies=lambda config, spec: config.train.warmup_epochs >= config.train.epochs,
        sentence="The warm-up is as long as the training, so the learning rate is never reached; make it shorter.",
    ),
    "patience_long": RunWarning(
        field="patience",
        applies=lambda config, spec: config.train.patience is not None and config.train.patience >= config.train.epochs,
        sentence="Early stopping waits for longer than the training lasts, so it will never stop it.",
    ),
    "step_long": RunWarning(
        field="step_epochs",
        applies=lambda config, spec: config.train.schedule == "step" and config.train.step_epochs >= config.train.epochs,
        sentence="The first drop of the step schedule lies behind the last epoch, so the learning rate stays as it is.",
    ),
    "unfreeze_unused": RunWarning(
        field="unfreeze_learning_rate",
        applies=lambda config, spec: config.train.unfreeze_learning_rate is not None and config.train.freeze_epochs == 0,
        sentence="Nothing is frozen, so the learning rate after unfreezing is never used; freeze some epochs or leave it empty.",
    ),
    "patience_frozen": RunWarning(
        field="patience",
        applies=lambda config, spec: (
            config.train.patience is not None
            and 0 < config.train.freeze_epochs < config.train.epochs
            and config.train.patience <= config.train.freeze_epochs
        ),
        sentence="Early stopping may end the training before the frozen epochs are over, so that the rest never trains; wait for longer.",
    ),
    "warmup_of_onecycle": RunWarning(
        field="warmup_factor",
        applies=lambda config, spec: (
            config.train.schedule == "onecycle" and (config.train.warmup_factor, config.train.warmup_shape) != (0.1, "linear")
        ),
        sentence="OneCycle is its own warm-up: of the warm-up it takes the length alone, neither its factor nor its shape.",
    ),
}
WARNINGS: dict[str, str] = {
    **{code: warning.sentence for code, warning in RUN_WARNINGS.items()},
    **{code: warning.sentence for code, warning in AUGMENT_WARNINGS.items()},
}


def warnings_for(config: RunConfig, spec: DataSpec) -> tuple[str, ...]:
    """The codes, keys of WARNINGS, of what makes no sense here."""
    own = (code for code, warning in RUN_WARNINGS.items() if warning.applies(config, spec))
    return (*own, *augment_warnings(config.augment, spec))
