"""Videos of any kind, made; what came out of them; a network that only repeats pixels."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from torch import Tensor, nn

from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import sample_paths
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video.upscale import Summary, upscale_video
from sr_experiments.processes.priority import normal_priority
from sr_experiments.video.colour import SCALER
from sr_experiments.video.source import VideoSource

QUIET = Console(file=io.StringIO())
STYLE = (
    "[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\n"
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    "Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    "MarginV, Encoding\r\n"
    "Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\r\n\r\n[Events]\r\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
)
SUBTITLES = ((200, 300, "one"), (600, 300, "two"))  # ms: start, duration


class Nearest(Generator):
    """Repeats pixels."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__(scale, channels=3)

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=self.scale, mode="nearest")


def film(frames: int = 12, height: int = 24, width: int = 32) -> list[np.ndarray]:
    """A pan over a photograph."""
    photograph = read_image(sample_paths(("astronaut.png",))[0])
    return [np.ascontiguousarray(photograph[i : i + height, 2 * i : 2 * i + width]) for i in range(frames)]


def write(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    stamps: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    audio: str = "",
    subtitles: str = "",
    chapters: bool = False,
    rotation: int = 0,
    aspect: Fraction | None = None,
    tags: dict[str, int] | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A file with all that is asked for."""
    with normal_priority(), av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        video = container.add_stream(codec, rate=25, options={"crf": "5", **(options or {})} if "26" in codec else {})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], pix_fmt
        video.codec_context.time_base = time_base
        video.codec_context.gop_size, video.codec_context.max_b_frames = 7, 2 if "26" in codec else 0
        for name, value in (tags or {}).items():
            setattr(video.codec_context, name, value)
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation:
            video.set_display_rotation(rotation)
        sound = container.add_stream(audio, rate=48000) if audio else None
        text = container.add_stream(subtitles) if subtitles else None
        if text is not None:
            text.codec_context.subtitle_header = STYLE.encode()
            text.codec_context.time_base = text.time_base = Fraction(1, 1000)
            text.metadata["language"] = "eng"
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": i,
                        "start": 200 * i,
                        "end": 200 * i + 200,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": f"part {i}"},
                    }
                    for i in range(2)
                ]
            )
        container.start_encoding()
        if sound is not None:
            wave = (8000 * np.sin(np.arange(24000) / 20)).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave], 1).reshape(1, -1), "s16", "stereo")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        if text is not None:
            for start, duration, words in SUBTITLES:
                line = av.subtitles.subtitle.SubtitleSet.create(f"0,0,Default,,0,0,0,,{words}".encode(), 0, duration)
                packet = text.codec_context.encode_subtitle(line)
                packet.pts = packet.dts = start
                packet.duration, packet.time_base, packet.stream = duration, Fraction(1, 1000), text
                container.mux(packet)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24" if pixels.dtype == np.uint8 else "rgb48le")
            full = pix_fmt == "yuv420p" and (tags or {}).get("color_range") == 2
            frame = frame.reformat(
                format=pix_fmt,
                dst_colorspace="ITU709" if tags else None,
                dst_color_range="JPEG" if full else "MPEG",
                interpolation=SCALER,
            )
            frame.pts, frame.time_base = i if stamps is None else stamps[i], time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def upscale(engine: Engine, source: Path, target: Path, **options: object) -> Summary:
    return upscale_video(engine, source, target, Options(**options), QUIET)  # type: ignore[arg-type]


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def rgb(path: Path) -> list[np.ndarray]:
    return [pixels for _, pixels in VideoSource(path).frames()]


def spoken(path: Path) -> list[tuple[float, str]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        lines = [(float(p.pts * p.time_base), p.decode()) for p in container.demux(stream) if p.size]
        return [(when, made[0].ass.decode().split(",")[-1]) for when, made in lines if made]
