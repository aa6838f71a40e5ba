"""The process that upscales for the page, so that a file which crashes a decoder ends it and not the page.

It reads requests from stdin, one JSON object a line: `folder`, the name of the `source` in it, the `checkpoint` and the
`options` of `sr upscale`. It answers on stdout: `{"share": ...}` while it works, then what `_answer` returns.
"""

import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sr_experiments.data.cubic import resize_pixels
from sr_experiments.data.image_files import image_layout
from sr_experiments.display.terminal import ReportingConsole
from sr_experiments.errors import one_line, user_message
from sr_experiments.inference.images import FORMATS, read_picture
from sr_experiments.inference.options import Options
from sr_experiments.inference.sheet import in_colour
from sr_experiments.inference.upscale import run
from sr_experiments.processes.threads import let_waiting_threads_sleep
from sr_experiments.video.animation import is_animated
from sr_experiments.video.formats import ANIMATIONS, CONTAINERS
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS
from sr_experiments.video.source import open_clip

LARGEST_SHOWN = 4096  # pixels, of the longer side of what the page shows


def main() -> None:
    """Answer requests until there are no more."""
    let_waiting_threads_sleep()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print where they like

    def send(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")

    for line in sys.stdin:
        send(_answer(json.loads(line), lambda share: send({"share": share})))


def _answer(request: dict[str, Any], report: Callable[[float], None]) -> dict[str, Any]:
    """Upscale a file; return the name of the result, its size, and what was said, or an `error`."""
    folder = Path(request["folder"])
    source = folder / request["source"]
    said = io.StringIO()
    try:
        target = folder / f"result{_extension(source)}"
        with redirect_stdout(said), redirect_stderr(said):
            options = Options(**request["options"])
            run([str(source)], target, [Path(request["checkpoint"])], options, ReportingConsole(report))
        return {"result": target.name, "text": said.getvalue(), **_write_shown(source, target)}
    except Exception as error:  # whatever a file causes, the next one is worked on
        if (line := user_message(error)) is None:
            traceback.print_exc()
            line = one_line(f"{type(error).__name__}: {error}")
        return {"error": line}


def _extension(source: Path) -> str:
    """Return the extension of the result: that of the source, or where it can't be written one that can hold it."""
    extension = source.suffix.lower()
    if extension in VIDEO_EXTENSIONS:
        return extension if extension in CONTAINERS else ".mkv"
    return extension if extension in FORMATS or extension in ANIMATIONS else ".png"


def _write_shown(source: Path, target: Path) -> dict[str, Any]:
    """Write `before.png` and `after.png`, of a video its middle frame, for the page; return what it says of them."""
    if target.suffix in CONTAINERS or is_animated(target):
        before, after = (_middle_frame(path) for path in (source, target))
        profile = None
    else:
        channels = image_layout(target)[1]  # of the source, they may be pages
        picture, made = (read_picture(path, channels, clip=True) for path in (source, target))
        before, after = in_colour(picture.pixels), in_colour(made.pixels)
        profile = made.icc if made.pixels.shape[2] == 3 else None  # of grey, it doesn't fit what is shown
    height, width = after.shape[:2]
    factor = min(LARGEST_SHOWN / max(height, width), 1)
    size = max(round(height * factor), 1), max(round(width * factor), 1)
    for name, pixels in (("before", before), ("after", after)):
        image = Image.fromarray(resize_pixels(pixels, size))
        image.save(target.with_name(f"{name}.png"), compress_level=1, icc_profile=profile)
    return {"width": width, "height": height, "before": "input" if before.shape == after.shape else "bicubic"}


def _middle_frame(path: Path) -> np.ndarray:
    """Return a frame, upright, as uint8 (H, W, 3)."""
    source = open_clip(path, upright=True)
    middle = len(source) // 2
    [(_, pixels)] = source.frames(middle, middle + 1)
    return in_colour(np.ascontiguousarray(pixels))


if __name__ == "__main__":
    main()
