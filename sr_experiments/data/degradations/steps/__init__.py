"""The steps of which degradations are composed. To add one: a class with the methods of `Step`, and its name here."""

from collections.abc import Callable, Mapping
from typing import Any

from sr_experiments.data.degradations.steps.blur import Blur, Defocus, Motion, Sinc
from sr_experiments.data.degradations.steps.compression import H264
from sr_experiments.data.degradations.steps.jpeg import JPEG
from sr_experiments.data.degradations.steps.noise import Noise
from sr_experiments.data.degradations.steps.random_order import AnyOrder, build_groups
from sr_experiments.data.degradations.steps.resize import Resize
from sr_experiments.data.degradations.steps.step import Step
from sr_experiments.errors import SRError
from sr_experiments.registry import build


def any_order(groups: Any) -> AnyOrder:
    """Groups of steps, done in an order that is each image's own."""
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
    "any_order": any_order,
}


def build_step(config: Mapping[str, Any]) -> Step:
    """A step of its configuration, `{"name": "jpeg", "quality": [30, 95]}`.

    Raises:
        SRError: it isn't such a mapping; unknown step, or arguments it doesn't take.
    """
    if not isinstance(config, Mapping):
        raise SRError(f"a stage of a degradation is a step and its arguments, {{name: jpeg, ...}}, not {config!r}")
    return build("degradation step", STEPS, config)
