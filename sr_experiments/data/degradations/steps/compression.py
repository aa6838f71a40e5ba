"""Video compression by the encoder that videos are made with."""

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Annotated, Literal

import av
import numpy as np
import torch
from annotated_types import Ge, Le

from sr_experiments.config.constraints import Interval, Share
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.canvas import Canvas
from sr_experiments.data.degradations.steps.step import Parameters, per_frame

THREADS = 4  # clips at once
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]


@STEPS.register("h264")
class H264:
    """Encode each clip with libx264 (4:2:0, 8 bits) in memory, and decode it. On the CPU, clip by clip.

    Args:
        crf: range of the constant rate factor, 0 to 51; whole numbers are drawn. 23 is x264's default.
        preset: x264's.
        probability: of any compression at all.
    """

    def __init__(
        self,
        crf: Interval[Annotated[float, Ge(0), Le(51)]],
        preset: Preset = "veryfast",
        probability: Share = 1.0,
    ) -> None:
        self.crf = crf
        self.preset = preset
        self.probability = probability

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> Parameters:
        """Quality of each clip."""
        drawn = {
            "applied": draw.chance(clips, self.probability, generator),
            "crf": draw.uniform(clips, self.crf, generator).round(),
        }
        return per_frame(drawn, frames)

    def apply(self, canvas: Canvas, parameters: Parameters, generator: torch.Generator) -> Canvas:
        """Images of the same sizes, encoded and decoded, in 255ths."""
        channels = canvas.pixels.shape[1]
        levels = (canvas.pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()  # (N * T, H, W, C)
        if channels == 1:
            levels = levels.expand(-1, -1, -1, 3)
        decoded = levels.clone().numpy()

        def work(first: int) -> None:
            if parameters["applied"][first]:
                height, width = int(canvas.heights[first]), int(canvas.widths[first])
                clip = decoded[first : first + canvas.frames, :height, :width]
                clip[:] = compress(clip, int(parameters["crf"][first]), self.preset)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(0, len(canvas), canvas.frames)))
        pixels = torch.from_numpy(decoded[..., :channels]).permute(0, 3, 1, 2).to(canvas.pixels) / 255
        applied = parameters["applied"][:, None, None, None].to(pixels.device)
        return canvas.with_pixels(torch.where(applied, pixels, canvas.pixels))

    def describe(self, parameters: Parameters, i: int) -> str:
        """Of image i: the quality."""
        return f"crf {parameters['crf'][i]:.0f}" if parameters["applied"][i] else ""


def compress(clip: np.ndarray, crf: int, preset: str) -> np.ndarray:
    """A clip (T, H, W, 3), uint8, encoded and decoded. One thread each: the result doesn't depend on the machine."""
    height, width = clip.shape[1:3]
    # 4:2:0 needs even sides; x264 itself continues pictures up to whole macroblocks.
    even = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = even.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf), "preset": preset}
    packets = []
    for number, picture in enumerate(even):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    pictures = [frame.to_ndarray(format="rgb24")[:height, :width] for frame in frames]
    return np.stack(pictures)
