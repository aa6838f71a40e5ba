"""What a step is: it draws its parameters for a batch at once, then does to each image what its parameters say."""

from typing import Any, Protocol

import torch
from torch import Tensor

from sr_experiments.data.degradations.steps.canvas import Canvas

# Tensors on the CPU with a row an image, by name; of steps that hold others, nested in lists and dictionaries.
Parameters = dict[str, Any]


class Step(Protocol):
    """One cause of a picture's decay."""

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Parameters of clips * frames images; those of one clip agree, or change evenly.

        Args:
            clips: how many.
            frames: of each.
            generator: on the CPU.
        """
        ...

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Do it; `generator` is for random pixels and lives on their device."""
        ...

    def describe(self, parameters: Parameters, i: int) -> str:
        """What is done to image i, in a word and a number; nothing where nothing is done."""
        ...


def per_frame(drawn: dict[str, Tensor], frames: int) -> Parameters:
    """Parameters of clips, repeated for each of their frames."""
    if frames == 1:
        return drawn
    return {key: value.repeat_interleave(frames, 0) for key, value in drawn.items()}


def take(parameters: Any, images: Tensor) -> Any:
    """The rows of these images, of all that `Step.draw` drew."""
    if isinstance(parameters, dict):
        return {key: take(value, images) for key, value in parameters.items()}
    if isinstance(parameters, list):
        return [take(value, images) for value in parameters]
    return parameters[images]
