"""The columns of the table: networks, the baseline, and finished pictures."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sr_experiments.data.depth import DTYPES, LEVELS, WORDS, Bits, bits_of
from sr_experiments.data.resize import bicubic_upsample
from sr_experiments.evaluation.scenes import Reader, Scene
from sr_experiments.inference.engine import Engine
from sr_experiments.metrics.baseline import baseline


@dataclass
class Candidate:
    """Makes SR pictures, frame by frame."""

    name: str  # of the column
    source: str  # what it is, in words

    def start(self, scene: Scene) -> None:
        """Start an image or a clip."""

    @property
    def lookahead(self) -> int:
        """Number of later frames that a frame is made from."""
        return 0

    def frame(self, number: int, lr: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Make the next frame, (H, W, C) of the depth of HR to (scale * H, scale * W, C), given LR of later ones."""
        raise NotImplementedError


class Baseline(Candidate):
    """LR enlarged by MATLAB's bicubic kernel, at the depth of HR, for LR pixels of the degradation's phase.

    At scale 1 that is LR as it is.
    """

    def __init__(self, scale: int, phase: str, bits: Bits = 8) -> None:
        made = "LR as it is" if scale == 1 else f"LR enlarged by MATLAB's bicubic imresize, all channels, {WORDS[bits]}"
        super().__init__(baseline(scale), made)
        self.scale = scale
        self.phase = phase
        self.bits = bits

    def frame(self, number: int, lr: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Enlarge LR."""
        return to_pixels(bicubic_upsample(to_tensor(lr), self.scale, self.phase, self.bits), self.bits)


@dataclass
class Network(Candidate):
    """A generator in its inference engine, whose time is measured."""

    engine: Engine
    _first: float = 0.0  # seconds, as the next
    _others: float = 0.0
    _pictures: int = 0

    @property
    def lookahead(self) -> int:
        """That of the network."""
        return self.engine.lookahead

    def start(self, scene: Scene) -> None:
        """Reset the state of a recurrent network."""
        self.engine.start_clip()

    def frame(self, number: int, lr: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Super-resolve LR."""
        begin = time.perf_counter()
        sr = self.engine.next_frame(lr, *later) if self.engine.recurrent else self.engine.upscale(lr)
        seconds = time.perf_counter() - begin
        self._pictures += 1
        if self._pictures == 1:
            self._first = seconds
        else:
            self._others += seconds
        return sr

    def seconds_per_image(self) -> float | None:
        """Return the mean over all pictures but the first, which includes the warm-up."""
        return self._others / (self._pictures - 1) if self._pictures > 1 else self._first or None


@dataclass
class Finished(Candidate):
    """Pictures that exist already, such as another program's."""

    readers: Mapping[str, Reader]

    def start(self, scene: Scene) -> None:
        """Open the picture or clip of a scene."""
        self.scene = scene

    def frame(self, number: int, lr: np.ndarray, *later: np.ndarray) -> np.ndarray:
        """Read the picture, cropped as HR is."""
        height, width = self.scene.size
        return self.readers[self.scene.name](number)[:height, :width]


def to_tensor(image: np.ndarray) -> Tensor:
    """Convert pixels (H, W, C) of any depth to float64 (1, C, H, W) in [0, 1]; others are clipped."""
    values = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].double()
    white = LEVELS[bits_of(image.dtype)]
    return values.clamp(0, 1) if white is None else values / white


def to_pixels(image: Tensor, bits: Bits = 8) -> np.ndarray:
    """Convert (1, C, H, W) in [0, 1] to (H, W, C) of a depth."""
    values, white = image[0].clamp(0, 1), LEVELS[bits]
    levels = values if white is None else values.mul(white).round()
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy()).astype(DTYPES[bits])
