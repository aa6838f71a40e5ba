"""`sr interpolate`: write a network between two others."""

from pathlib import Path

from sr_experiments.checkpoints.between import load_between
from sr_experiments.errors import SRError
from sr_experiments.export.export import Exported, check_output, write_network


def interpolate(first: Path, second: Path, weight: float, file: Path, overwrite: bool = False) -> Exported:
    """Write the network whose weights are `(1 - weight) * first + weight * second`, see `load_between`.

    Args:
        first: run folder or checkpoint, as for `checkpoints.reading.read`.
        second: another of the same network.
        weight: of the second, in [0, 1].
        file: as for `export`; the format follows from its extension.
        overwrite: replace an existing file.

    Raises:
        SRError: weight outside [0, 1], two networks that differ, or as `export`.
    """
    if not 0 <= weight <= 1:
        raise SRError(f"--weight {weight:g}: give a number from 0 (the first network) to 1 (the second)")
    file = file.expanduser()
    kind = check_output(file, None, "fp32", overwrite)
    return write_network(*load_between(first, second, weight), file, kind)
