"""A trial of an output, one frame long: whether its container takes the video and other streams, and its colours."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sr_experiments.errors import first_line
from sr_experiments.files.writing import writing_failed
from sr_experiments.video.colour import Colours, ToRGB, has_alpha
from sr_experiments.video.container import ExtraStream
from sr_experiments.video.decode import damage, decoder_of, open_container
from sr_experiments.video.encode import Encoding, SegmentEncoder
from sr_experiments.video.formats import container_of
from sr_experiments.video.mux import mux
from sr_experiments.video.source import Source

EXTRA_PACKETS = 100  # of the other streams together


@dataclass(frozen=True)
class Trial:
    """How a trial ended: why the output can't be written, or an empty string and the colours that it is read with."""

    problem: str
    colours: Colours | None = None


def try_output(target: Path, source: Source, encoding: Encoding, extra: Sequence[ExtraStream]) -> Trial:
    """Write an output of one blank frame, and packets of the other streams, to a temporary file.

    Raises:
        SRError: the source can no longer be read.
    """
    container_format = container_of(target)
    transparent = encoding.alpha
    pixels = np.zeros((encoding.height, encoding.width, 4 if transparent else 3), np.uint8)
    pixels[: encoding.height // 2, :, 3:] = 255
    with tempfile.TemporaryDirectory(prefix="sr_trial_") as folder:
        segment, path = Path(folder, "segment.mkv"), Path(folder, "trial")
        try:
            with SegmentEncoder(segment, encoding) as encoder:
                encoder.write(pixels, source.stamps[0])
            delays = [encoder.delay]
            frames = mux(path, container_format, source, encoding, [segment], delays, extra, EXTRA_PACKETS)
            if frames != 1:
                return Trial(f"{frames} frames of 1")
            frame = _first_frame(path)
            if transparent and not _has_alpha(frame):
                return Trial("transparency")
        except _failures() as error:
            if full := writing_failed(path, error):
                raise full from error
            return Trial(first_line(error))
    return Trial("", encoding.colours.as_read(frame))


def _failures() -> tuple[type[Exception], ...]:
    return (*damage(), RuntimeError, LookupError)  # an encoder that makes no frame, or changes its time


def _first_frame(path: Path) -> Any:
    with open_container(path) as container:
        stream = container.streams.video[0]
        decoder = decoder_of(stream)
        return next(frame for packet in container.demux(stream) for frame in decoder.decode(packet))


def _has_alpha(frame: Any) -> bool:
    """Return whether the trial's alpha, half 0 and half 255, was decoded."""
    if not has_alpha(frame.format):
        return False
    alpha = ToRGB(always_8_bits=True, alpha=True)(frame)[..., 3]
    return bool(alpha.min() < 64 and alpha.max() > 192)
