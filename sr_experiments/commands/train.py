"""`sr train`: train a network, with Hydra's own options and overrides."""

from typing import Annotated

import typer

# All arguments, including options, are passed on to Hydra.
CONTEXT = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


def _complete(context: typer.Context, incomplete: str) -> list[str]:
    from sr_experiments.config.completion import completions

    return completions(context.params.get("arguments") or [], incomplete)


def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]...", help="model=rrdbnet loss=gan ...; -m for a sweep.", autocompletion=_complete
        ),
    ] = None,
) -> None:
    """Train a network; sr train --help lists all choices and settings."""
    from sr_experiments.errors import SRError
    from sr_experiments.train import train as run

    if any(word in ("-sc", "--shell-completion") for word in arguments or []):
        raise SRError("sr has completion of its own: sr --install-completion")
    run(arguments or [], "sr train")
