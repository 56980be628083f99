"""The command line: `python -m resnet_core VERB ...`. Verbs live in resnet_core/commands, one file each.

What goes wrong for a reason that a person can mend is one line on stderr and exit status 2.
"""

import signal
import sys
from collections.abc import Sequence

import typer

from resnet_core.commands.attribute import attribute
from resnet_core.commands.attribute_many import attribute_many
from resnet_core.commands.bench import bench
from resnet_core.commands.cka import cka
from resnet_core.commands.compare import compare
from resnet_core.commands.data import app as data_app
from resnet_core.commands.degradation import degradation
from resnet_core.commands.describe import describe
from resnet_core.commands.evaluate import evaluate
from resnet_core.commands.find_lr import find_lr
from resnet_core.commands.gradients import gradients
from resnet_core.commands.import_weights import import_weights
from resnet_core.commands.inspect import inspect
from resnet_core.commands.lesion import lesion
from resnet_core.commands.output import EXIT_STOPPED
from resnet_core.commands.paths import paths
from resnet_core.commands.predict import predict
from resnet_core.commands.presets import presets
from resnet_core.commands.probe import probe
from resnet_core.commands.runs import app as runs_app
from resnet_core.commands.shatter import shatter
from resnet_core.commands.train import train
from resnet_core.errors import UserError

PROGRAM = "python -m resnet_core"
EXIT_WRONG = 2
# Newer releases of typer carry click within themselves, older ones import it: its public exception leads to the right base class.
CLICK_ERROR: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="resnet_core",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train residual networks and their plain twins, look inside every block, predict sketches. Every verb has --help and --json.",
)
app.add_typer(data_app, name="data")
app.command()(describe)
app.command()(train)
app.command()(presets)
app.command()(find_lr)
app.add_typer(runs_app, name="runs")
app.command()(degradation)
app.command()(evaluate)
app.command()(inspect)
app.command()(lesion)
app.command()(gradients)
app.command()(probe)
app.command()(paths)
app.command()(shatter)
app.command()(attribute)
app.command("attribute-many")(attribute_many)
app.command()(compare)
app.command()(cka)
app.command()(predict)
app.command()(import_weights)
app.command()(bench)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit status."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_STOPPED
    except CLICK_ERROR as error:
        print(usage_line(error), file=sys.stderr)
        return EXIT_WRONG
    except UserError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return EXIT_WRONG
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        return 0


def usage_line(error: Exception) -> str:
    """One line instead of click's four: what is wrong, and how to see what is right. A verb that was left out gets the whole help."""
    message = " ".join(str(getattr(error, "format_message", lambda: error)()).split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(context.get_help()) if context is not None else message
    return f"{message.rstrip('.')}; see '{path} --help'."
