"""The state of a run, read from its folder without disturbing it: running, finished, pruned, failed or interrupted.

summary.json has the state of a run that ended. A run that did not end is running if its lock is held by a living
process of this machine; where the lock says nothing, if it wrote something within the last ten minutes. Otherwise it
was killed, which counts as interrupted: `resume=` continues it all the same.
"""

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.runs.lock import is_locked
from sr_experiments.runs.series import last_moments

ENDED = ("finished", "pruned", "failed", "interrupted")
QUIET = 600.0  # seconds without a write after which a run counts as killed
CLOCK = 0.1  # seconds by which a file system's clock may be behind: Linux takes it from the last tick
WRITTEN_FILES = ("metrics.csv", "train.log", "config.yaml", "summary.json")


@dataclass(frozen=True)
class State:
    """The state of a run."""

    state: str  # running, finished, pruned (a sweep ended it because others were better), failed or interrupted
    step: int  # last known step
    active: float  # unix time of the last write to the folder
    seconds_per_step: float | None  # over the last steps, with validation and saving; None where it isn't known


def state_of(folder: Path, summary: dict[str, Any]) -> State:
    """Return the state of the run in `folder`, with this content of its summary.json; empty if there is none yet."""
    moments = last_moments(folder / "metrics.csv")
    step, logged = moments[-1] if moments else (0, 0.0)
    written = {name: _modified(folder / name) for name in WRITTEN_FILES}
    state, locked = summary.get("state"), is_locked(folder)
    # A resumed run logs values that are younger than the summary of the session before.
    stale = logged > written["summary.json"] + CLOCK
    if state in ENDED and not stale and not locked:
        last_step = summary.get("step")
        return State(state, last_step if isinstance(last_step, int) else step, max(written.values()), None)
    active = max(logged, *written.values())
    if locked is None:
        locked = time.time() - active < QUIET
    recent = moments[-20:]
    steps = recent[-1][0] - recent[0][0] if recent else 0
    seconds_per_step = (recent[-1][1] - recent[0][1]) / steps if steps > 0 else None
    return State("running" if locked else "interrupted", step, active, seconds_per_step)


def read_summary(folder: Path) -> dict[str, Any]:
    """Read summary.json; empty where there is none, or where it can't be read."""
    with contextlib.suppress(OSError, ValueError):
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if isinstance(summary, dict):
            return summary
    return {}


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
