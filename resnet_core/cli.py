"""The command line: `python -m resnet_core VERB ...`. Verbs live in resnet_core/commands, one file each.

What goes wrong for a reason that a person can mend is one line on stderr and exit status 2.
"""

import signal
import sys
from collections.abc import Sequence

import click
import typer

from resnet_core.commands.data import app as data_app
from resnet_core.commands.describe import describe
from resnet_core.commands.evaluate import evaluate
from resnet_core.commands.inspect import inspect
from resnet_core.commands.predict import predict
from resnet_core.commands.runs import app as runs_app
from resnet_core.commands.train import train
from resnet_core.errors import UserError

EXIT_WRONG = 2
EXIT_STOPPED = 130

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
app.add_typer(runs_app, name="runs")
app.command()(evaluate)
app.command()(inspect)
app.command()(predict)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit status."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=None if arguments is None else list(arguments), prog_name="python -m resnet_core", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return EXIT_STOPPED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_WRONG
    except KeyboardInterrupt:
        return EXIT_STOPPED
    except BrokenPipeError:  # the reader of our output went away (`| head`)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        return 0
