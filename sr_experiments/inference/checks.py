"""Checks of `sr upscale`'s options that need neither torch nor the input's content, before any waiting."""

import io
from collections.abc import Sequence
from pathlib import Path

from sr_experiments.errors import SRError
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import WantedSize
from sr_experiments.video.encode import check_options
from sr_experiments.video.formats import ANIMATIONS, EXTENSIONS, cannot_hold, check_clip_file, container_of


def check_checkpoints(checkpoints: Sequence[Path], options: Options) -> None:
    """Check that a strength is of one network, or between two checkpoints.

    Raises:
        SRError: there are more.
    """
    if len(checkpoints) > 2 and options.strength is not None:
        raise SRError(
            f"--strength is of one --checkpoint, or between two, and here are {len(checkpoints)}: leave it out for a "
            "sheet of them"
        )


def is_sheet(checkpoints: Sequence[Path], options: Options) -> bool:
    """Return whether sheets are asked for: several checkpoints without a strength between two, or a page."""
    return options.html or (len(checkpoints) > 1 and options.strength is None)


def check_size(options: Options) -> None:
    """Check the size that was asked for.

    Raises:
        SRError: it was given in two ways.
    """
    WantedSize.of(options).check()


def check_images(options: Options, animations: bool) -> None:
    """Check the options where no video is read or written, but images or `animations`.

    Raises:
        SRError: there is one that only videos have.
    """
    for_videos = {
        "codec": options.codec,
        "crf": options.crf,
        "preset": options.preset,
        "pix-fmt": options.pix_fmt,
        "preview": None if animations else options.preview or None,
    }
    if given := next((name for name, value in for_videos.items() if value is not None), None):
        raise SRError(
            f"--{given} is for videos, and none is written: leave it out; an image has the format of -o, --quality and "
            "--lossless"
        )


def check_video(names: Sequence[str], output: Path, options: Options) -> None:
    """Check the options if they are for a video: one file of the inputs or the output is one, by its extension.

    Raises:
        SRError: they can't work, whatever is in the input.
    """
    source, output = Path(names[0]).expanduser(), output.expanduser()
    single = len(names) == 1 and source.suffix.lower() in EXTENSIONS and not source.is_dir()
    to_file = bool(output.suffix) and not output.is_dir()
    if not single and output.suffix.lower() not in EXTENSIONS:
        return
    check_options(options)
    if single and not source.exists():
        raise SRError(f"no {source}: give an image, a video, a folder or a glob")
    if not to_file:
        return
    check_clip_file(output)
    if (
        options.codec is not None
        and output.suffix.lower() not in ANIMATIONS
        and not _is_known_to(container_of(output), options.codec)
    ):
        raise cannot_hold(output, options.codec)
    if output.exists() and not options.overwrite and not options.resume:
        raise SRError(f"{output} exists: give --overwrite to replace")


def _is_known_to(container_format: str, codec: str) -> bool:
    import av

    with av.open(io.BytesIO(), "w", format=container_format) as container:
        return av.codec.Codec(codec, "w").canonical_name in container.supported_codecs
