"""Learning-rate schedules: pure functions of the step.

A schedule has no state, so a resumed run needs nothing but its step counter to continue exactly.
"""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge

from sr_experiments.config.constraints import Count, NameOf, Positive, Share
from sr_experiments.registry import Registry, build

Schedule = Callable[[int], float]
SCHEDULES: Registry[Schedule] = Registry(
    "schedule", __name__, {"total_steps": "trainer.max_steps", "warmup_steps": "optim.warmup_steps"}
)


@SCHEDULES.register("constant")
def constant(total_steps: int, warmup_steps: int = 0) -> Schedule:
    """Keep the base learning rate at every step."""
    return lambda step: 1.0


@SCHEDULES.register("multistep")
def multistep(
    total_steps: int, milestones: Sequence[Annotated[float, Ge(0)]], gamma: Positive = 0.5, warmup_steps: int = 0
) -> Schedule:
    """Multiply the rate by `gamma` at each milestone (in steps): the schedule of SRGAN and ESRGAN."""
    ordered = sorted(milestones)
    return lambda step: gamma ** bisect.bisect_right(ordered, step)


@SCHEDULES.register("cosine_restart")
def cosine_restart(total_steps: int, cycles: Count = 1, floor: Share = 0.0, warmup_steps: int = 0) -> Schedule:
    """Cosine decay from 1 to `floor`, restarted so that `cycles` of them fill the run.

    SGDR (Loshchilov & Hutter 2017) with equal periods, as BasicSR's PSNR recipes use it.

    Args:
        total_steps: length of the run in steps.
        cycles: number of cosine periods.
        floor: smallest factor, relative to the base learning rate.
        warmup_steps: warm-up steps of the run, part of the first period.
    """
    period = max(1, math.ceil(total_steps / cycles))

    def factor(step: int) -> float:
        if step >= total_steps:
            return floor
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (step % period) / period))

    return factor


@SCHEDULES.register("cosine")
def cosine(total_steps: int, floor: Share = 0.0, warmup_steps: int = 0) -> Schedule:
    """Cosine decay from 1 at the end of the warm-up to `floor` at the end of the run.

    Args:
        total_steps: length of the run in steps.
        floor: smallest factor, relative to the base learning rate.
        warmup_steps: warm-up steps of the run, before the decay.
    """
    falling = cosine_restart(max(1, total_steps - warmup_steps), 1, floor)
    return lambda step: falling(max(0, step - warmup_steps))


DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: 1 - t,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
    "sqrt": lambda t: 1 - math.sqrt(t),
}


@SCHEDULES.register("wsd")
def wsd(
    total_steps: int,
    decay: Share = 0.2,
    shape: Annotated[str, NameOf(DECAYS)] = "sqrt",
    floor: Share = 0.0,
    warmup_steps: int = 0,
) -> Schedule:
    """Warm-up, stable, decay: the full rate until the last part of the run, then decay to `floor`.

    Before the decay, a run can be resumed with another length, as if it had been started with that length. Hu et al.
    2024 (arXiv 2404.06395); 1 - sqrt(t) is the best decay according to Hägele et al. 2024 (arXiv 2405.18392).

    Args:
        total_steps: length of the run in steps.
        decay: fraction of the run with decay.
        shape: shape of the decay.
        floor: smallest factor, relative to the base learning rate.
        warmup_steps: warm-up steps of the run, before the decay.
    """
    length = round(decay * total_steps)
    start = total_steps - length

    def factor(step: int) -> float:
        if step < start:
            return 1.0
        return floor + (1 - floor) * DECAYS[shape](min(1.0, (step - start) / length) if length else 1.0)

    return factor


def make_schedule(config: Mapping[str, Any], total_steps: int, warmup_steps: int) -> Schedule:
    """Build the schedule of a run or a stage, which begins with a linear warm-up.

    Raises:
        SRError: unknown schedule or invalid argument.
    """
    schedule = build("schedule", SCHEDULES, config, total_steps=total_steps, warmup_steps=warmup_steps)
    return with_warmup(schedule, warmup_steps)


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """Rise linearly to the schedule over the first `warmup_steps` steps."""
    if warmup_steps <= 0:
        return schedule
    return lambda step: schedule(step) * min(1.0, (step + 1) / warmup_steps)
