"""Video compression with real encoders: x264, x265, SVT-AV1."""

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from annotated_types import Ge, Le

from sr_experiments.config.constraints import Choices, Interval
from sr_experiments.data.degradations.steps import STEPS, draw
from sr_experiments.data.degradations.steps.clip_step import ClipStep
from sr_experiments.data.degradations.steps.step import Parameters
from sr_experiments.errors import SRError
from sr_experiments.processes.priority import normal_priority
from sr_experiments.video.encode import repeatable_x264

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]
Codec = Literal["h264", "hevc", "av1"]


class Coder(NamedTuple):
    """An encoder and a decoder by FFmpeg's names.

    Attributes:
        default: its default CRF, which looks about alike in all of them.
        least_side: smaller frames are extended to it. Below 80 pixels x265 sometimes crashes.
        options: of the encoder, so that it uses one thread, for others give other bits, and says nothing.
    """

    encoder: str
    decoder: str
    default: int
    least_side: int
    options: dict[str, str]


CODERS: dict[Codec, Coder] = {
    "h264": Coder("libx264", "h264", 23, 2, {"preset": "veryfast", **repeatable_x264()}),
    "hevc": Coder(
        "libx265",
        "hevc",
        28,
        128,
        {"preset": "veryfast", "x265-params": "log-level=none:pools=none:frame-threads=1:wpp=0"},
    ),
    "av1": Coder("libsvtav1", "libdav1d", 35, 64, {"preset": "10", "svtav1-params": "lp=1"}),
}
Crf = Interval[Annotated[float, Ge(0), Le(51)]]


@STEPS.register("codec")
@dataclass
class VideoCodec(ClipStep):
    """Step that encodes each clip with one of several real encoders and decodes it.

    Args:
        codecs: weights of the choice: h264 (libx264), hevc (libx265), av1 (libsvtav1).
        crf: range of the constant rate factor on x264's scale, 0 to 51, where 23 is the default; the other encoders get
            a larger value by the difference of their defaults, 5 for HEVC and 12 for AV1.

    Raises:
        SRError: this build of PyAV lacks an encoder or decoder that may be drawn.
    """

    codecs: Choices[Codec]
    crf: Crf

    def __post_init__(self) -> None:
        import av  # here, since most degradations are of images

        for codec in self._names():
            for needed in CODERS[codec][:2]:
                if needed not in av.codecs_available:
                    raise SRError(f"this build of PyAV has no {needed}: leave {codec} out of the codecs of step codec")

    def _names(self) -> list[Codec]:
        return [name for name in CODERS if self.codecs.get(name, 0) > 0]

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        chosen = draw.choose(clips, draw.weights(self.codecs, self._names()), generator)
        return {"codec": chosen, "crf": draw.uniform(clips, self.crf, generator).round()}

    def _processed(self, clip: np.ndarray, drawn: Parameters) -> np.ndarray:
        name = self._names()[int(drawn["codec"])]
        coder = CODERS[name]
        crf = int(drawn["crf"]) + coder.default - CODERS["h264"].default
        return compress(clip, crf, coder)

    def _label(self, drawn: Parameters) -> str:
        name = self._names()[int(drawn["codec"])]
        return f"{name} crf {int(drawn['crf']) + CODERS[name].default - CODERS['h264'].default}"


@STEPS.register("h264")
@dataclass
class H264(ClipStep):
    """Step that encodes each clip with libx264 (4:2:0, 8 bits) in memory and decodes it, on the CPU.

    Args:
        crf: range of the constant rate factor, 0 to 51; whole numbers are drawn. x264's default is 23.
        preset: preset of x264.
    """

    crf: Crf
    preset: Preset = "veryfast"

    def _draw(self, clips: int, generator: torch.Generator) -> Parameters:
        return {"crf": draw.uniform(clips, self.crf, generator).round()}

    def _processed(self, clip: np.ndarray, drawn: Parameters) -> np.ndarray:
        coder = CODERS["h264"]
        return compress(clip, int(drawn["crf"]), coder._replace(options={**coder.options, "preset": self.preset}))

    def _label(self, drawn: Parameters) -> str:
        return f"crf {drawn['crf']:.0f}"


def compress(clip: np.ndarray, crf: int, coder: Coder) -> np.ndarray:
    """Return a clip (T, H, W, 3), uint8, encoded and decoded."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # only errors; it has no option for this
    height, width = clip.shape[1:3]
    # 4:2:0 needs even sides; encoders themselves extend frames to whole blocks.
    bottom, right = (max(side + side % 2, coder.least_side) - side for side in (height, width))
    even = np.pad(clip, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    encoder: Any = av.CodecContext.create(coder.encoder, "w")
    encoder.height, encoder.width = even.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
    encoder.thread_count = 1  # the output depends on the number of threads, and so on the machine
    encoder.options = {"crf": str(crf), **coder.options}
    with normal_priority():
        encoder.open()
    packets = []
    for number, pixels in enumerate(even):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)  # flush what the encoder holds back
    decoder: Any = av.CodecContext.create(coder.decoder, "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return np.stack([frame.to_ndarray(format="rgb24")[:height, :width] for frame in frames])
