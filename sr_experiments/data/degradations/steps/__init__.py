"""The steps that degradations are composed of. To add one: a class with the methods of `Step`."""

from collections.abc import Callable, Mapping
from typing import Any

from sr_experiments.data.degradations.steps.blur import Blur, Defocus, Motion, Sinc
from sr_experiments.data.degradations.steps.compression import H264
from sr_experiments.data.degradations.steps.jpeg import JPEG
from sr_experiments.data.degradations.steps.noise import Noise
from sr_experiments.data.degradations.steps.random_order import RandomOrder, build_groups
from sr_experiments.data.degradations.steps.resize import Resize
from sr_experiments.data.degradations.steps.step import Step
from sr_experiments.errors import SRError
from sr_experiments.registry import build


def random_order(groups: Any) -> RandomOrder:
    """Build groups of steps that are applied in a random order, drawn per image."""
    return build_groups(groups, build_step)


STEPS: dict[str, Callable[..., Step]] = {
    "blur": Blur,
    "sinc": Sinc,
    "motion": Motion,
    "defocus": Defocus,
    "resize": Resize,
    "noise": Noise,
    "jpeg": JPEG,
    "h264": H264,
    "random_order": random_order,
}


def build_step(config: Mapping[str, Any]) -> Step:
    """Build a step from its configuration, `{"name": "jpeg", "quality": [30, 95]}`.

    Raises:
        SRError: the configuration is not such a mapping, or has an unknown step or argument.
    """
    if not isinstance(config, Mapping):
        raise SRError(f"a stage of a degradation is a step and its arguments, {{name: jpeg, ...}}, not {config!r}")
    return build("degradation step", STEPS, config)
