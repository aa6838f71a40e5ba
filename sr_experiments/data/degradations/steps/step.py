"""Base of degradation steps, which draw parameters for a whole batch, then apply them to each image."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from sr_experiments.config.constraints import Share
from sr_experiments.data.degradations.steps import draw
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.errors import SRError

# Tensors on the CPU with one row per image, by name; steps that contain steps nest them in lists and dictionaries.
Parameters = dict[str, Any]


class Step:
    """One cause of degradation: a blur, a resize, noise, compression.

    Attributes:
        needs_colours: whether it is of grey and RGB images only, and 8 bits deep.
    """

    needs_colours: ClassVar[bool] = False

    def check_channels(self, channels: int) -> None:
        """Check that the step can be applied to images of so many channels.

        Raises:
            SRError: it is of grey and RGB images only.
        """
        if self.needs_colours and channels not in (1, 3):
            raise SRError(
                f"{type(self).__name__} compresses grey and RGB images, and channels={channels}: choose a degradation "
                "without such a step, for example degradation=bicubic or classical"
            )

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw parameters of clips * frames images, on the CPU; within a clip they are equal or change linearly."""
        raise NotImplementedError

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Apply the step; `generator` draws random pixels and is on the images' device."""
        raise NotImplementedError

    def describe(self, parameters: Parameters, i: int) -> str:
        """Describe what is applied to image i, in a word and a number; empty where nothing is."""
        raise NotImplementedError


@dataclass
class OptionalStep(Step):
    """Step that is applied to some clips only: subclasses have `_draw` for clips, and `_label` for one image.

    Args:
        probability: probability that the step is applied to a clip.
    """

    probability: Share = field(default=1.0, kw_only=True)

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw which clips the step is applied to, and their parameters."""
        applied = draw.chance(clips, self.probability, generator)
        return per_frame({"applied": applied, **self._draw(clips, generator)}, frames)

    def describe(self, parameters: Parameters, i: int) -> str:
        """Describe what is applied to image i."""
        return self._label(take(parameters, i)) if parameters["applied"][i] else ""

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        raise NotImplementedError

    def _label(self, drawn: Parameters) -> str:
        raise NotImplementedError


def per_frame(drawn: dict[str, Tensor], frames: int) -> Parameters:
    """Repeat the parameters of clips for each of their frames."""
    if frames == 1:
        return drawn
    return {key: value.repeat_interleave(frames, 0) for key, value in drawn.items()}


def take(parameters: Any, images: Tensor | int) -> Any:
    """Return the rows of these images, or of one, from parameters of `Step.draw`."""
    if isinstance(parameters, dict):
        return {key: take(value, images) for key, value in parameters.items()}
    if isinstance(parameters, list):
        return [take(value, images) for value in parameters]
    return parameters[images]
