"""What `sr weights` does."""

import logging
from collections.abc import Sequence

from rich.filesize import decimal
from rich.markup import escape

from sr_experiments.config.explain import near
from sr_experiments.display.logging_setup import log_to_console
from sr_experiments.display.terminal import make_table, stderr_console, stdout_console
from sr_experiments.errors import SRError
from sr_experiments.pretrained.catalogue import USED_BY, download_size, folder, present_file, source_of, weights_file
from sr_experiments.pretrained.fetch import WeightsUnavailable, fetch

ON_DEMAND = ("squeezenet1_1",)  # fetched only if named


def show(names: Sequence[str]) -> None:
    """Print what perceptual losses and metrics need, and which of it is on this machine."""
    rows = []
    for name in _known(names) or USED_BY:
        file = present_file(name)
        size = file.stat().st_size if file else download_size(name)
        there = "yes" if file else "no"
        rows.append([name, there, decimal(size), (file or weights_file(name)).name, USED_BY[name]])
    console = stdout_console()
    console.print(make_table(["weights", "there", "size", "file", "used by"], [[*map(escape, row)] for row in rows], 5))
    console.print(f"in {folder()}", markup=False, highlight=False, soft_wrap=True)


def get(names: Sequence[str]) -> None:
    """Fetch weights that are not there, and say where each came from.

    Raises:
        SRError: an unknown name, or one that can't be fetched; all others are fetched first.
    """
    log_to_console(stderr_console(), logging.INFO)
    console, failed = stdout_console(), {}
    for name in _known(names) or [name for name in USED_BY if name not in ON_DEMAND]:
        try:
            file = fetch(name)
        except WeightsUnavailable as error:
            failed[name] = str(error)
            continue
        console.print(f"{name}: {file}, {source_of(name)}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise SRError("; ".join(failed.values()))


def _known(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in USED_BY:
            raise SRError(f"no weights are called {name!r}: {near(name, list(USED_BY))}")
    return names
