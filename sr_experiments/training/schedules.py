"""Learning-rate schedules and loss ramps: pure functions of the step.

A schedule has no state, so a resumed run needs nothing but its step counter to continue exactly.
"""

import bisect
import math
from collections.abc import Callable, Sequence

from sr_experiments.errors import SRError

Schedule = Callable[[int], float]


def constant(total_steps: int) -> Schedule:
    """Keep the base learning rate at every step."""
    return lambda step: 1.0


def multistep(total_steps: int, milestones: Sequence[int], gamma: float = 0.5) -> Schedule:
    """Multiply the rate by `gamma` at each milestone (in steps): the schedule of SRGAN and ESRGAN."""
    ordered = sorted(milestones)
    return lambda step: gamma ** bisect.bisect_right(ordered, step)


def cosine_restart(total_steps: int, cycles: int = 1, floor: float = 0.0) -> Schedule:
    """Cosine decay from 1 to `floor`, restarted so that `cycles` of them fill the run.

    SGDR (Loshchilov & Hutter 2017) with equal periods, as BasicSR's PSNR recipes use it.

    Args:
        total_steps: length of the run in steps.
        cycles: number of cosine periods.
        floor: smallest factor, as a share of the base learning rate.

    Raises:
        SRError: `cycles` is less than 1.
    """
    if cycles < 1:
        raise SRError(f"optim.schedule.cycles is {cycles}: give 1 or more")
    period = max(1, math.ceil(total_steps / cycles))

    def factor(step: int) -> float:
        if step >= total_steps:
            return floor
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step % period) / period))

    return factor


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "multistep": multistep,
    "cosine_restart": cosine_restart,
}


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """Rise linearly to the schedule over the first `warmup_steps` steps."""
    if warmup_steps <= 0:
        return schedule
    return lambda step: schedule(step) * min(1.0, (step + 1) / warmup_steps)


def _linear(t: float) -> float:
    return t


def _cosine(t: float) -> float:
    return 0.5 * (1 - math.cos(math.pi * t))


RAMPS: dict[str, Callable[[float], float]] = {"linear": _linear, "cosine": _cosine}


def ramp(shape: str, start: int, length: int) -> Schedule:
    """Return a ramp: 0 before step `start`, 1 from step `start + length` on, a "linear" or "cosine" rise in between.

    Raises:
        SRError: an unknown shape.
    """
    if shape not in RAMPS:
        raise SRError(f"unknown ramp {shape!r}: choose one of {', '.join(sorted(RAMPS))}")
    curve = RAMPS[shape]

    def factor(step: int) -> float:
        if step < start:
            return 0.0
        return 1.0 if step >= start + length else curve((step - start + 1) / (length + 1))

    return factor
