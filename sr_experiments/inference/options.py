"""The options of `sr upscale`."""

from dataclasses import dataclass

from sr_experiments.video.encode import EncoderOptions


@dataclass(frozen=True)
class Options(EncoderOptions):
    """The options of `sr upscale`: those of the video encoder, and these.

    Attributes:
        device: "auto", or torch's name of a device.
        precision: "auto", "fp32", "bf16" or "fp16".
        runtime: "auto", "torch", "compile" or "openvino".
        tile: side of a tile in LR pixels, or None to choose it by the available memory.
        overwrite: replace existing outputs.
        image_format: extension of the outputs for a folder of images, or None for that of the inputs.
        quality: quality of JPEG and WebP, 1 to 100.
        resume: continue interrupted work.
        fps: frame rate of a video made from a folder of frames, or None.
        scene_cuts: detect scene cuts, and reset a recurrent network there.
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
    fps: float | None = None
    scene_cuts: bool = True
    preview: float = 0.0
