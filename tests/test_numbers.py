"""Numbers that are given to commands have to be finite."""

import inspect

import pytest

from sr_experiments.cli import COMMANDS

NUMBERS = [
    (command.__name__, "--" + name.replace("_", "-"))
    for command in COMMANDS
    for name, parameter in inspect.signature(command).parameters.items()
    if "float" in str(parameter.annotation)
]


@pytest.mark.parametrize(("command", "option"), NUMBERS)
def test_numbers_that_are_not_finite_are_refused_by_every_command(sr, command, option):
    assert len(NUMBERS) > 12
    for value in ("inf", "-inf", "nan"):
        done = sr(command, f"{option}={value}")
        assert done.code == 2 and "Invalid value for" in done.err and option in done.err


def test_numbers_out_of_their_bounds_are_refused(sr):
    for option in ("--preview=-1", "--fps=0", "--fps=5000"):
        done = sr("upscale", option)
        assert done.code == 2 and "Invalid value for" in done.err and option.split("=")[0] in done.err
