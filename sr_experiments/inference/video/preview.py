"""A short side-by-side video of bicubic, at scale 1 the input, and SR, written before the whole video is upscaled."""

import logging
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from sr_experiments.display.pictures import labelled
from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import Enlarger
from sr_experiments.inference.video.network import upscaled
from sr_experiments.metrics.baseline import baseline
from sr_experiments.video.source import Source

log = logging.getLogger(__name__)


def write_preview(enlarger: Enlarger, source: Source, target: Path, options: Options) -> None:
    """Write the baseline | SR of the first `options.preview` seconds as 8-bit H.264 at a constant frame rate.

    For the output `clip.mkv` it is `clip.preview.mp4`.

    Raises:
        SRError: the preview exists.
    """
    import av

    path = target.with_name(f"{target.stem}.preview.mp4")
    if path.exists() and options.resume:
        return
    if path.exists() and not options.overwrite:
        raise SRError(f"{path} exists: give --overwrite to replace, or no --preview")
    end = source.stamps[0] + options.preview / source.time_base
    count = max(sum(stamp < end for stamp in source.stamps), 1)
    enlarger.engine.start_clip()
    read = min(count + enlarger.engine.lookahead, len(source))
    upscaled_frames = islice(upscaled(enlarger, source.frames(0, read), 0, options), count)
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=source.rate.limit_denominator(30000), options={"crf": "16"})
        stream.thread_type = "AUTO"  # not slices, see video/encode.py
        for (_, small), (_, large) in zip(source.frames(0, count), upscaled_frames, strict=True):
            pictures = {baseline(enlarger.engine.scale): _picture(enlarger.bicubic(small)), "sr": _picture(large)}
            sheet = np.asarray(labelled(pictures))
            height, width = (side // 2 * 2 for side in sheet.shape[:2])  # 4:2:0 needs even sides
            if not stream.codec_context.is_open:
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(sheet[:height, :width]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    log.info("preview of %d frames: %s", count, path)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8))
