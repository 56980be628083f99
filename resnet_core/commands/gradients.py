"""`gradients C`: the gradient at every layer and block, and what each path of a block hands back."""

from dataclasses import replace

import typer

from resnet_core.commands.evaluate import CHECKPOINT
from resnet_core.commands.looking import look_at
from resnet_core.commands.output import JSON_OPTION, say, write_json, write_table
from resnet_core.errors import UserError

LAYERS = ("name", "weight_grad_norm", "weight_norm", "update_ratio")
BLOCKS = ("name", "input_grad_norm", "through_residual_norm", "through_shortcut_norm", "share", "cosine", "refinement", "sum_error")
MODES = ("eval", "train")


def gradients(
    checkpoint: str = CHECKPOINT,
    dataset: str | None = typer.Option(None, help="data set; without it, the checkpoint's own"),
    split: str = typer.Option("test", help="train, valid or test"),
    count: int = typer.Option(64, min=1, help="images in the one batch, drawn at random"),
    seed: int = typer.Option(0, min=0, help="seed of the draw"),
    mode: str = typer.Option("eval", help="eval: BatchNorm's running statistics; train: those of the batch, as in a training step"),
    learning_rate: float | None = typer.Option(
        None, help="of update_ratio's one step; without it, the highest of the checkpoint's training"
    ),
    initial: bool = typer.Option(False, "--initial", help="the same network before its first step"),
    as_json: bool = JSON_OPTION,
) -> None:
    """One backward pass of the mean cross-entropy over a batch, in float32: L2 norms of the gradient at every layer's weights and at every
    block's input, what came through F and through the shortcut, and a verdict over all blocks. update_ratio is what one step of the
    checkpoint's own optimizer would change of a layer's weights, as a share of them; of one trained elsewhere only with --learning-rate, by
    SGD."""
    if mode not in MODES:
        raise UserError("not_a_choice", field="mode", value=mode, choices=", ".join(MODES))
    from resnet_core.config import TrainConfig
    from resnet_core.inspection import gradient_trend, measure_gradients

    looked = look_at(checkpoint, dataset, split, count=count, seed=seed, initial=initial, with_labels=True)
    train = None if looked.checkpoint.is_imported else looked.checkpoint.config.train  # how it was trained elsewhere is not known
    if learning_rate is not None:
        train = replace(train or TrainConfig(), learning_rate=learning_rate)
    report = measure_gradients(looked.model, looked.inputs, looked.chosen.labels, training=mode == "train", train=train)
    trend = gradient_trend([block.input_grad_norm for block in report.blocks])
    if as_json:
        described = {
            "checkpoint": looked.checkpoint.name,
            "split": split,
            "count": report.images,
            "seed": seed,
            "mode": report.mode,
            "loss": report.loss,
            "optimizer": train and train.optimizer,
            "learning_rate": train and train.learning_rate,
        }
        write_json({**described, "layers": report.layers, "blocks": report.blocks, "trend": trend})
        return
    write_table(LAYERS, [[_digits(getattr(layer, column)) for column in LAYERS] for layer in report.layers])
    if report.blocks:
        print()
        write_table(BLOCKS, [[_digits(getattr(block, column)) for column in BLOCKS] for block in report.blocks])
    ratio = "" if trend.log_ratio is None else f": first block / last block = 10^{trend.log_ratio:.2f}, 10^{trend.per_block:.3f} per block"
    say(f"{trend.verdict.replace('_', ' ')}{ratio} (loss {report.loss:.4f}, {report.images} {split} images, {report.mode} mode)")


def _digits(value: object) -> object:
    """Four significant ones: gradients span many powers of ten."""
    return f"{value:.4g}" if isinstance(value, float) else value
