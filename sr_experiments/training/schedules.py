"""Learning-rate schedules: pure functions of the step.

A schedule has no state, so a resumed run needs nothing but its step counter to continue exactly.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from typing import Annotated

from annotated_types import Ge

from sr_experiments.config.constraints import Count, Positive, Share
from sr_experiments.registry import Registry

Schedule = Callable[[int], float]
SCHEDULES: Registry[Schedule] = Registry("schedule", __name__, {"total_steps": "trainer.max_steps"})


@SCHEDULES.register("constant")
def constant(total_steps: int) -> Schedule:
    """Keep the base learning rate at every step."""
    return lambda step: 1.0


@SCHEDULES.register("multistep")
def multistep(total_steps: int, milestones: Sequence[Annotated[float, Ge(0)]], gamma: Positive = 0.5) -> Schedule:
    """Multiply the rate by `gamma` at each milestone (in steps): the schedule of SRGAN and ESRGAN."""
    ordered = sorted(milestones)
    return lambda step: gamma ** bisect.bisect_right(ordered, step)


@SCHEDULES.register("cosine_restart")
def cosine_restart(total_steps: int, cycles: Count = 1, floor: Share = 0.0) -> Schedule:
    """Cosine decay from 1 to `floor`, restarted so that `cycles` of them fill the run.

    SGDR (Loshchilov & Hutter 2017) with equal periods, as BasicSR's PSNR recipes use it.

    Args:
        total_steps: length of the run in steps.
        cycles: number of cosine periods.
        floor: smallest factor, relative to the base learning rate.
    """
    period = max(1, math.ceil(total_steps / cycles))

    def factor(step: int) -> float:
        if step >= total_steps:
            return floor
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step % period) / period))

    return factor


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """Rise linearly to the schedule over the first `warmup_steps` steps."""
    if warmup_steps <= 0:
        return schedule
    return lambda step: schedule(step) * min(1.0, (step + 1) / warmup_steps)
