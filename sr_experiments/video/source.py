"""Sources of frames to upscale: a video file, a folder of images or an animated image."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from sr_experiments.data.image_files import decode_image, natural_key, read_image, walk_images
from sr_experiments.errors import SRError
from sr_experiments.video.animation import AnimationSource
from sr_experiments.video.colour import ToRGB, has_alpha, is_known_matrix
from sr_experiments.video.container import timecode
from sr_experiments.video.decode import Decoder, Index, UnreadableVideo, open_container
from sr_experiments.video.formats import ANIMATIONS
from sr_experiments.video.part import Part, frames_of_part
from sr_experiments.video.pictures import PictureSource, blank_frame
from sr_experiments.video.tonemap import ToneMap

# Metadata of HDR that change from frame to frame, which PyAV can't give to an encoder, by the names of their side data.
_DYNAMIC_HDR = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}


class VideoSource:
    """Frames of the first video stream of a file, or of a part of it, exactly and in order.

    Args:
        path: the file.
        start: where the part begins, in seconds; its first frame is the first that is shown then or later.
        end: where it ends; its last frame is the last that is shown before.
        upright: whether frames are rotated here as the display matrix says.
        tonemap: whether HDR becomes SDR here, see `ToneMap`.

    Attributes:
        part: from the time of the first frame to that of the first one that is left out; None for the whole file.
        first: the first frame, as PyAV's VideoFrame; of tone-mapped HDR a blank one with the tags of SDR.
        size: (width, height).
        alpha: whether frames have an alpha channel.
        codec: FFmpeg's name of the codec; None for images.
        stamps: presentation time of each frame, in units of `time_base`.
        end: time at which the last frame ends, in the same units.
        time_base: unit of time, in seconds.
        rate: average frame rate, in frames per second.
        aspect: aspect ratio of a pixel, or None if square.
        matrix: FFmpeg's display matrix, 9 integers; None if frames are upright, or rotated here, which they also
            are if PyAV is too old (17.0) to write such a matrix.
        on_its_side: whether the display matrix turns frames by 90 degrees.
        notes: notes about the file for the user.

    Raises:
        UnreadableVideo: the file is missing or damaged, or has no video stream.
        SRError: the part has no frames.
    """

    def __init__(
        self,
        path: Path,
        start: Fraction | None = None,
        end: Fraction | None = None,
        upright: bool = False,
        tonemap: bool = False,
    ) -> None:
        self.path = path
        self._index = Index(path)
        with open_container(path) as container:
            stream = container.streams.video[0]
            self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self.time_base = Fraction(stream.time_base)
            self.codec: str | None = stream.codec_context.codec.canonical_name
            aspect = stream.sample_aspect_ratio
            stated = any(timecode(stream) for stream in (stream, *container.streams.data))
            begin = Fraction(container.start_time or 0, 1_000_000)
        self.aspect = Fraction(aspect) if aspect and aspect != 1 else None
        self.stamps: Sequence[int] = self._index.stamps.tolist()
        if self._index.counted is not None:  # unreliable time stamps: frames are numbered, at a constant rate
            if begin:  # other streams begin later than at 0, as those of MPEG program streams do
                first = round(begin / self.time_base) if self._index.begin is None else self._index.begin
                self.stamps = [first + round(number / self.rate / self.time_base) for number in self.stamps]
            else:
                self.time_base = 1 / self.rate
        self._skipped = 0
        self.part: Part | None = None
        if start is not None or end is not None:
            self._cut(begin, start, end)
        self.end = self.stamps[-1] + max(round(1 / self.rate / self.time_base), 1)
        decoder = Decoder(path, self._index)
        self.first = decoder.frame(self._skipped)
        decoder.close()
        self.size = (self.first.width, self.first.height)
        self.alpha = has_alpha(self.first.format)
        self.matrix = _display_matrix(self.first)
        self.tonemap = ToneMap.of(self.first) if tonemap else None
        self.notes = _notes(self.first, self.tonemap is not None)
        if stated and self._skipped:
            self.notes.append(f"time code of {path} left out: it is that of its first frame")
        if self._index.lost:
            self.notes.append(f"{self._index.lost} frames of {path} could not be read: no keyframe comes before them")
        self._quarter_turns = 0
        if self.matrix is not None and (upright or not _can_write_matrix()):
            self.matrix, self._quarter_turns = None, round(self.first.rotation / 90) % 4
            if self._quarter_turns % 2:
                self.size = self.size[::-1]
                self.aspect = 1 / self.aspect if self.aspect else None
        self.on_its_side = self.matrix is not None and round(self.first.rotation / 90) % 2 == 1
        if self.tonemap is not None:
            self.first = blank_frame(
                self.first.width, self.first.height, self.first.format.name, self.first.color_range
            )

    def __len__(self) -> int:
        return len(self.stamps)

    def _cut(self, begin: Fraction, start: Fraction | None, end: Fraction | None) -> None:
        """Leave out the frames before `start` and from `end` on, counted from where the file begins."""
        times = [stamp * self.time_base - begin for stamp in self.stamps]
        first, behind = frames_of_part(self.path, times, times[-1] - times[0] + 1 / self.rate, start, end)
        stop = self.stamps[behind] * self.time_base if behind < len(self.stamps) else None
        self.part = Part(self.stamps[first] * self.time_base if first else Fraction(0), stop, from_first=not first)
        self._skipped, self.stamps = first, self.stamps[first:behind]

    def frames(self, start: int = 0, end: int | None = None, alpha: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """Yield numbers and RGB pixels (H, W, 3) of frames `start` to `end` - 1, uint8 or uint16.

        With `alpha`, which the frames need to have, it is RGBA (H, W, 4).

        Raises:
            UnreadableVideo: a frame is damaged, or differs in size from the first.
        """
        decoder, to_rgb = Decoder(self.path, self._index, threads=0), ToRGB(alpha=alpha)
        try:
            for number in range(start, len(self) if end is None else end):
                frame = decoder.frame(self._skipped + number)
                if (frame.width, frame.height) != (self.first.width, self.first.height):
                    raise UnreadableVideo(
                        f"can't read frame {number} of {self.path}: it is {frame.width}x{frame.height}, "
                        f"the first one {self.first.width}x{self.first.height}; split the file there"
                    )
                pixels = to_rgb(frame)
                if self.tonemap is not None:
                    pixels = self.tonemap(pixels)
                yield number, np.rot90(pixels, self._quarter_turns) if self._quarter_turns else pixels
        finally:
            decoder.close()


class FolderSource(PictureSource):
    """Images of a folder as frames, in natural order, with 8 bits per channel.

    Args:
        folder: that has the images.
        rate: in frames per second.
        images: the files to use, in order; None for all images in the folder.

    Raises:
        SRError: no such folder, or no image in it.
    """

    def __init__(self, folder: Path, rate: Fraction = Fraction(25), images: Sequence[Path] | None = None) -> None:
        names = walk_images(folder, nested=False).folders.get(str(folder), []) if images is None else []
        self.images = list(images or (folder / name for name in sorted(names, key=natural_key)))
        if not self.images:
            raise SRError(f"no images in {folder}: give the folder that holds the frames")
        first = decode_image(self.images[0])
        notes = []
        if first.alpha is not None:
            notes.append(f"transparency was lost: frames are read without it, {self.images[0]} has it")
        if first.pixels.dtype != np.uint8:
            notes.append(f"frames are read with 8 bits per channel, {self.images[0]} has more")
        if first.icc:
            notes.append(f"the colour profile of {self.images[0]} left out: frames are read without it")
        height, width = first.pixels.shape[:2]
        count = len(self.images)
        super().__init__(folder, (width, height), range(count), count, 1 / rate, False, notes)

    def frames(self, start: int = 0, end: int | None = None, alpha: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """Yield numbers and RGB pixels (H, W, 3) of frames `start` to `end` - 1, uint8; `alpha` has to be false.

        Raises:
            SRError: a frame is damaged, or differs in size from the first.
        """
        for number in range(start, len(self) if end is None else end):
            pixels = read_image(self.images[number])
            height, width = pixels.shape[:2]
            if (width, height) != self.size:
                raise SRError(
                    f"frame {self.images[number]} is {width}x{height}, the first one {self.size[0]}x{self.size[1]}: "
                    "all must have one size"
                )
            yield number, pixels


Source = VideoSource | FolderSource | AnimationSource


def open_clip(
    path: Path,
    start: Fraction | None = None,
    end: Fraction | None = None,
    upright: bool = False,
    tonemap: bool = False,
) -> VideoSource | AnimationSource:
    """Open a video, as `VideoSource` does, or an animated image, which is upright."""
    if path.suffix.lower() in ANIMATIONS:
        return AnimationSource(path, start, end)
    return VideoSource(path, start, end, upright, tonemap)


def _display_matrix(frame: Any) -> list[int] | None:
    for i in range(len(frame.side_data)):
        data = frame.side_data[i]
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), np.int32)[:9].tolist()
    return None


def _notes(frame: Any, tonemapped: bool) -> list[str]:
    notes = []
    if frame.interlaced_frame:
        notes.append("the video is interlaced, which upscaling ignores: better deinterlace it first")
    kinds = {frame.side_data[i].type.name for i in range(len(frame.side_data))}
    found = sorted({name for kind, name in _DYNAMIC_HDR.items() if kind in kinds})
    if found and not tonemapped:
        names = " and ".join(found)
        notes.append(f"{names} metadata left out, which can't be written: colours, tags and HDR10 metadata are kept")
    if not frame.format.is_rgb and not is_known_matrix(frame):
        notes.append(
            f"colour matrix {int(frame.colorspace)} of H.273 is not supported: colours are wrong, convert the video to "
            "BT.2020 or BT.709 first"
        )
    return notes


def _can_write_matrix() -> bool:
    from av.video.stream import VideoStream

    return hasattr(VideoStream, "set_display_matrix")
