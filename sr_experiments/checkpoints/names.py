"""Short names of checkpoints, for tables and pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

from sr_experiments.metrics.baseline import BASELINES


def unique_names(paths: Sequence[Path], taken: Sequence[str] = ()) -> list[str]:
    """Name each path by its run folder or file, with the folders above where that isn't unique.

    No name is one of `taken`, or that of a baseline.
    """
    given = [_significant(path) for path in paths]
    names: list[str] = []
    for i, path in enumerate(given):
        others = [other for j, other in enumerate(given) if j != i and other != path]
        depth = 1
        while depth < len(path) and any(other[-depth:] == path[-depth:] for other in others):
            depth += 1
        name = plain = "/".join(path[-depth:])
        number = 2
        while name in (*names, *taken, *BASELINES):
            name, number = f"{plain} ({number})", number + 1
        names.append(name)
    return names


def _significant(path: Path) -> tuple[str, ...]:
    """Return the parts of a path that tell runs apart, the most significant last.

    A run's name is that of the folder above its time stamp; run/checkpoints/best.ckpt is best of run.
    """
    path = path.expanduser().absolute()
    parts, which = path.parts[1:], ""
    if not path.is_dir():
        parts = (*parts[:-1], path.stem)
        if path.parent.name == "checkpoints" and len(parts) > 2:
            parts, which = parts[:-2], f" {parts[-1]}"
    if len(parts) > 1 and re.match(r"\d{4}-\d\d-\d\d_", parts[-1]):
        parts = (*parts[:-2], parts[-1], parts[-2])
    return (*parts[:-1], parts[-1] + which)
