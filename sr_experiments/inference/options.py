"""What a user can choose about upscaling."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of `sr upscale`, see its help.

    Attributes:
        device: "auto", or torch's name of one.
        precision: "auto", "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "compile" or "openvino".
        tile: side of a tile in LR pixels, or None.
        overwrite: replace what is there.
        image_format: extension of images in a folder, or None for the input's.
        quality: of JPEG and WebP.
        resume: go on with interrupted work.
        codec: FFmpeg's name of a video encoder.
        crf: constant rate factor, or None for the encoder's own.
        preset: of the encoder, or None for its own.
        pix_fmt: FFmpeg's name of a pixel format, or None.
        fps: of a video made from a folder of frames, or None.
        scene_cuts: look for cuts, and reset a recurrent network there.
        preview: seconds of a side-by-side video to write first; 0 for none.
    """

    device: str = "auto"
    precision: str = "auto"
    runtime: str = "auto"
    tile: int | None = None
    overwrite: bool = False
    image_format: str | None = None
    quality: int = 95
    resume: bool = False
    codec: str = "libx264"
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    fps: float | None = None
    scene_cuts: bool = True
    preview: float = 0.0
