"""How far a run is, and whether it goes on: what it left on disk, read without disturbing it.

A run that has ended says so in summary.json. One that has not is running if `running.json` names a living process of
this machine; where nothing tells, if it wrote something within the last ten minutes. Otherwise it was killed, which
is listed as interrupted: it goes on with `resume=` all the same.
"""

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.runs.lock import is_present
from sr_experiments.runs.series import last_moments

ENDED = ("finished", "pruned", "failed", "interrupted")
QUIET = 600.0  # seconds without a sign of life after which a run counts as killed
SIGNS = ("metrics.csv", "train.log", "config.yaml", "summary.json")


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        state: running, finished, pruned (ended by a sweep, as worse than others), failed or interrupted.
        step: last step that is known.
        active: unix time of the last sign of life.
        seconds_per_step: lately, with validations and saving; None where it isn't known.
    """

    state: str
    step: int
    active: float
    seconds_per_step: float | None


def state_of(folder: Path, summary: dict[str, Any]) -> State:
    """Look at a run folder.

    Args:
        folder: of the run.
        summary: what is in its summary.json, empty if there is none yet.
    """
    moments = last_moments(folder / "metrics.csv")
    step, logged = moments[-1] if moments else (0, 0.0)
    written = {name: _modified(folder / name) for name in SIGNS}
    said = summary.get("state")
    # A resumed run logs values that are younger than the summary of the session before.
    stale = logged > written["summary.json"]
    if said in ENDED and not stale and not is_present(folder):
        return State(said, _whole(summary.get("step"), step), max(written.values()), None)
    active = max(logged, *written.values())
    alive = is_present(folder)
    if alive is None:
        alive = time.time() - active < QUIET
    return State("running" if alive else "interrupted", step, active, _pace(moments))


def read_summary(folder: Path) -> dict[str, Any]:
    """What summary.json says; empty where there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if isinstance(summary, dict):
            return summary
    return {}


def _pace(moments: list[tuple[int, float]]) -> float | None:
    recent = moments[-20:]
    steps = recent[-1][0] - recent[0][0] if recent else 0
    return (recent[-1][1] - recent[0][1]) / steps if steps > 0 else None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
