"""The `sr` command. Modules of commands import what they need when they run, so that `sr --help` is fast."""

import math
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from sr_experiments.commands.app import app as app_command
from sr_experiments.commands.compare import compare
from sr_experiments.commands.degrade import degrade
from sr_experiments.commands.doctor import doctor
from sr_experiments.commands.evaluate import evaluate
from sr_experiments.commands.export import export
from sr_experiments.commands.init import init
from sr_experiments.commands.interpolate import interpolate
from sr_experiments.commands.pack import pack
from sr_experiments.commands.quantize import quantize
from sr_experiments.commands.runs import runs
from sr_experiments.commands.schema import schema
from sr_experiments.commands.sync import sync
from sr_experiments.commands.train import CONTEXT, train
from sr_experiments.commands.tune import tune
from sr_experiments.commands.upscale import upscale
from sr_experiments.commands.weights import weights
from sr_experiments.errors import SRError, user_message
from sr_experiments.processes.threads import let_waiting_threads_sleep

COMMANDS = (
    upscale, app_command, tune, evaluate, compare, runs, sync, export, quantize, interpolate, pack, degrade, doctor,
    weights, init, schema,
)  # fmt: skip


class Command(TyperCommand):
    """A command whose numbers have to be finite: `inf` and `nan` are numbers to Python, and pass most bounds."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            parameter.callback = _finite(parameter.callback)


def _finite(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a callback of a parameter that refuses numbers that are not finite before it calls the given one."""

    def check(context: typer.Context, parameter: Any, value: Any) -> Any:
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise typer.BadParameter(f"{number} is not a finite number.", ctx=context, param=parameter)
        return value if callback is None else callback(context, parameter, value)

    return check


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    from sr_experiments.packages.versions import version_lines

    if wanted:
        typer.echo("\n".join(version_lines()))
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show versions and the git state."),
    ] = False,
) -> None:
    """Train super-resolution networks; compare, evaluate, export and use them."""


app.command(cls=Command, context_settings=CONTEXT)(train)
for command in COMMANDS:
    app.command(cls=Command)(command)


def main() -> None:
    """Run the command; a user error is one line and exit code 2."""
    let_waiting_threads_sleep()
    try:
        app()
    except (SRError, MemoryError, OSError) as error:
        if (line := user_message(error)) is None:
            raise
        sys.stderr.write(f"error: {line}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
