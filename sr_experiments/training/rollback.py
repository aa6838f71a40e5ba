"""Roll back to the last good checkpoint, with a lower learning rate, when a loss has become NaN."""

import logging
from pathlib import Path
from typing import Any

import torch

from sr_experiments.errors import NotFinite
from sr_experiments.files.writing import replacing
from sr_experiments.training.module import SRModule
from sr_experiments.training.scalars import not_finite

log = logging.getLogger(__name__)


def roll_back(
    folder: Path, module: SRModule, error: NotFinite, tries: int = 0, factor: float = 0.5
) -> dict[str, Any] | None:
    """Make `last.ckpt` the checkpoint to resume from, with the rollback recorded in it.

    The lower rate is in the checkpoint, so a run that is stopped afterwards resumes to the same bits. Samples depend on
    the seed and the step alone: the same batches come again, and a batch that is bad at any rate ends the run when the
    tries are used up. If the newest checkpoint was rolled back to before and nothing was saved since, the run goes back
    further, to `best.ckpt`.

    Args:
        folder: `<run folder>/checkpoints`.
        module: the module that raised the error.
        error: the value that became NaN or infinite.
        tries: largest number of rollbacks of a run.
        factor: factor of all learning rates at each rollback.

    Returns:
        The rollback, as in summary.json; None if no try or no checkpoint with finite values is left.
    """
    if len(module.rollbacks) >= tries:
        return None
    found: list[tuple[int, dict[str, Any]]] = []
    for path in (folder / "last.ckpt", folder / "best.ckpt"):
        if path.is_file():
            content = torch.load(path, weights_only=True, map_location="cpu")
            values = {key: content[key] for key in ("state_dict", "optimizer_states")}
            if bad := not_finite(values):
                log.warning("cannot roll back to %s: %s is not finite", path, bad[0])
            else:
                found.append((int(content["sr_experiments"]["step"]), content))
    # Newest first, but not the one that led to a NaN already.
    found.sort(key=lambda one: -one[0])
    before = module.rollbacks[-1]["to_step"] if module.rollbacks else None
    if before is not None and len(found) > 1 and found[0][0] <= before:
        found = [one for one in found if one[0] < before] or found
    if not found:
        return None
    step, content = found[0]
    rollback = {"at_step": error.step, "what": error.key, "to_step": step, "factor": factor}
    content["sr_experiments"]["rollbacks"] = [*module.rollbacks, rollback]
    with replacing(folder / "last.ckpt") as temporary:
        torch.save(content, temporary)
    return rollback
