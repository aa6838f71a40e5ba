"""Groups of steps applied in a random order, drawn per clip."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Len

from sr_experiments.data.degradations.steps import STEPS, build_step, draw
from sr_experiments.data.degradations.steps.canvas import Canvas, join
from sr_experiments.data.degradations.steps.step import Parameters, Step, take
from sr_experiments.registry import Component


@STEPS.register("random_order")
class RandomOrder(Step):
    """Step that applies groups of steps in a random order; all orders are equally likely.

    The order within a group is fixed.

    Args:
        groups: two or three lists of steps, each a mapping with a name.
    """

    def __init__(
        self, groups: Annotated[Sequence[Sequence[Annotated[Mapping[str, Any], Component(STEPS)]]], Len(2, 3)]
    ) -> None:
        self.groups = [[build_step(step) for step in group] for group in groups]
        self.orders = list(itertools.permutations(range(len(groups))))

    def check_channels(self, channels: int) -> None:
        """Check the steps of all groups."""
        for group in self.groups:
            for step in group:
                step.check_channels(channels)

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw an order for each clip, and the parameters of all steps."""
        order = draw.choose(clips, [1.0] * len(self.orders), generator)
        steps = [[step.draw(clips, frames, generator) for step in group] for group in self.groups]
        return {"order": order.repeat_interleave(frames), "steps": steps}

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Apply each order to all images that drew it."""
        parts = []
        for number, order in enumerate(self.orders):
            images = (parameters["order"] == number).nonzero()[:, 0]
            if not len(images):
                continue
            part, drawn = canvas.take(images), take(parameters["steps"], images)
            for group in order:
                for step, own in zip(self.groups[group], drawn[group], strict=True):
                    part = step.apply(part, own, generator)
            parts.append((images, part))
        return join(parts)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Describe the steps applied to image i, in their order."""
        order = self.orders[int(parameters["order"][i])]
        pairs = [pair for g in order for pair in zip(self.groups[g], parameters["steps"][g], strict=True)]
        return ", ".join(filter(None, (step.describe(own, i) for step, own in pairs)))
