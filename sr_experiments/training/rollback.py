"""Go back to the last good checkpoint with a lower learning rate, when a loss has become NaN."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from sr_experiments.errors import NotFinite
from sr_experiments.files import replacing
from sr_experiments.training.module import SRModule
from sr_experiments.training.scalars import not_finite

log = logging.getLogger(__name__)

T = TypeVar("T")


def roll_back(
    folder: Path, module: SRModule, error: NotFinite, tries: int = 0, factor: float = 0.5
) -> dict[str, Any] | None:
    """Make `last.ckpt` the checkpoint to go on from, with the rollback noted in it; the run is then resumed.

    What it is resumed from has the lower rate in it, so a run that is stopped or killed afterwards goes on to the
    same bits. Samples depend on the seed and the step alone: the same batches come again, and a batch that is itself
    bad ends the run when the tries are used up. If the newest checkpoint was gone back to before, and nothing
    was saved since, the run goes back further, to `best.ckpt`.

    Args:
        folder: `<run folder>/checkpoints`.
        module: that the error came from.
        error: what became NaN.
        tries: how often a run may go back.
        factor: of all learning rates, each time.

    Returns:
        The rollback, as in the summary; None where no try is left, or no checkpoint with finite values.
    """
    if len(module.rollbacks) >= tries:
        return None
    found: list[tuple[int, dict[str, Any]]] = []
    for path in (folder / "last.ckpt", folder / "best.ckpt"):
        if path.is_file():
            content = torch.load(path, weights_only=True, map_location="cpu")
            values = {key: content[key] for key in ("state_dict", "optimizer_states")}
            if bad := not_finite(values):
                log.warning("%s is not gone back to: %s is not finite", path, bad[0])
            else:
                found.append((int(content["sr_experiments"]["step"]), content))
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


def agreed(decide: Callable[[], T]) -> T:
    """What rank 0 decides, on all ranks."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return decide()
    box = [decide() if torch.distributed.get_rank() == 0 else None]
    torch.distributed.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]
