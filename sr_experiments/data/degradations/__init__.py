"""Degradations, which make LR from HR on the device.

One that is composed of steps is a YAML file with its `stages`, whatever its name, see `pipeline`. To add another: a
subclass of `Degradation`, registered in its file.
"""

import torch
from torch import Tensor

from sr_experiments.data.depth import Bits
from sr_experiments.registry import Registry


class Degradation:
    """Base of degradations, which are constructed with `scale=` and their own arguments.

    Attributes:
        phase: where LR pixels lie on the HR grid. "centred": the centre of LR pixel i is the centre of HR pixels
            scale * i to scale * i + scale - 1. "corner": LR pixel i lies on HR pixel scale * i. Upsampling needs
            to know: `bicubic_upsample(lr, scale, phase)` does not shift the image.
        scale: downsampling factor.
        identity: LR is HR: there is nothing to learn.
        bits: depth of LR and HR; set by the run.
        pool_size: number of pairs in the pool that training mixes its batches from (`PairPool`); 0 for no pool.
    """

    phase = "centred"
    bits: Bits = 8
    pool_size = 0
    identity = False

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, hr: Tensor, generator: torch.Generator | None = None, frames: int = 1) -> Tensor:
        """Return the LR batch of a training step; by default, nothing is random.

        Args:
            hr: (N, C, H, W) in [0, 1], H and W multiples of the scale; the frames of a clip follow each other.
            generator: source of randomness, on the CPU: reading one on the GPU would wait for its queued work.
            frames: number of frames per clip, which share their random parameters; N is a multiple of it.

        Returns:
            (N, C, H / scale, W / scale) in [0, 1], for 8 bits multiples of 1/255.
        """
        return self.validation(hr)

    def validation(self, hr: Tensor, frame: int = 0) -> Tensor:
        """Return LR of validation images, the same in every run; `frame` is the frame number within the clip."""
        raise NotImplementedError

    def check_channels(self, channels: int) -> None:
        """Check that images of so many channels can be degraded.

        Raises:
            SRError: they can't.
        """

    def target(self, hr: Tensor) -> Tensor:
        """Return the target for SR: HR, or sharpened HR."""
        return hr


LR_IS_HR = "at scale=1 bicubic makes LR that is HR"
CHANGING = ("real_esrgan", "classical", "blur_down")  # degradations of conf/ that change images at scale 1, too
DEGRADATIONS: Registry[Degradation] = Registry("degradation", "sr_experiments.data.degradations", {"scale": "scale"})
