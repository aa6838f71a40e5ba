"""The options of `sr upscale`."""

from dataclasses import dataclass
from fractions import Fraction

from sr_experiments.video.encode import EncoderOptions

# Options of networks that sample, and what they are for.
SAMPLED = {
    "steps": "a network of model=flow",
    "strength": "a network of model=flow_distilled, or two checkpoints of one network",
    "seed": "networks that draw noise, of model=flow and flow_distilled",
}


@dataclass(frozen=True)
class Options(EncoderOptions):
    """The options of `sr upscale`: those of the video encoder, and these; `commands.upscale` says what each means."""

    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    tile: int | None = None
    overwrite: bool = False
    image_format: str | None = None
    quality: int = 95
    resume: bool = False
    fps: float | None = None
    scene_cuts: bool = True
    preview: float = 0.0
    denoise: float = 0.0
    tonemap: bool = False
    steps: int | None = None
    strength: float | None = None
    seed: int | None = None
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    longest: int | None = None
    html: bool = False
    start: Fraction | None = None
    end: Fraction | None = None
    again: str = "the same command with --resume"  # what continues interrupted work, for messages
