"""Interface of a degradation step: it draws parameters for a whole batch, then applies them to each image."""

from typing import Any, Protocol

import torch
from torch import Tensor

from sr_experiments.data.degradations.steps.canvas import Canvas

# Tensors on the CPU with one row per image, by name; steps that contain steps nest them in lists and dictionaries.
Parameters = dict[str, Any]


class Step(Protocol):
    """One cause of degradation: a blur, a resize, noise, compression."""

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Draw parameters of clips * frames images; within a clip they are equal or change linearly.

        Args:
            clips: number of clips.
            frames: number of frames per clip.
            generator: on the CPU.
        """
        ...

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Apply the step; `generator` draws random pixels and is on the images' device."""
        ...

    def describe(self, parameters: Parameters, i: int) -> str:
        """Describe what is applied to image i, in a word and a number; empty where nothing is."""
        ...


def per_frame(drawn: dict[str, Tensor], frames: int) -> Parameters:
    """Repeat the parameters of clips for each of their frames."""
    if frames == 1:
        return drawn
    return {key: value.repeat_interleave(frames, 0) for key, value in drawn.items()}


def take(parameters: Any, images: Tensor) -> Any:
    """Return the rows of these images from parameters of `Step.draw`."""
    if isinstance(parameters, dict):
        return {key: take(value, images) for key, value in parameters.items()}
    if isinstance(parameters, list):
        return [take(value, images) for value in parameters]
    return parameters[images]
