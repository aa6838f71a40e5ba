"""The steps that degradations are composed of. To add one: a subclass of `Step`, registered there."""

from collections.abc import Mapping
from typing import Any

from sr_experiments.data.degradations.steps.step import Step
from sr_experiments.registry import Registry, build

STEPS: Registry[Step] = Registry("degradation step", "sr_experiments.data.degradations.steps")


def build_step(config: Mapping[str, Any]) -> Step:
    """Build a step from its configuration, `{"name": "jpeg", "quality": [30, 95]}`.

    Raises:
        SRError: unknown step, or arguments it does not take.
    """
    return build("degradation step", STEPS, config)
