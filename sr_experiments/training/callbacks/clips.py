"""Moving pictures to look at: short clips, and time slices in which flicker shows."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from sr_experiments.files import replacing
from sr_experiments.pictures import as_picture, labelled
from sr_experiments.training.callbacks.samples import sample_folder
from sr_experiments.training.module import SRModule

SLICE_HEIGHT = 4  # pixels for each moment of a time slice, at least
SLICE_ROWS = 192  # height to fill with them
COLUMNS = ("bicubic", "compared", "sr", "hr")


class Clips(Callback):
    """Write `<set>_<clip>.mp4` and `<set>_<clip>_xt.png` beside the samples, and show them in W&B.

    The clip shows the centre of bicubic, the network that is compared with, SR and HR side by side. The time
    slice shows one row of pixels over time, downwards, of each of them: still content is vertical, smooth motion
    a clean slanted line, flicker a ragged one.

    Args:
        folder: the run's samples folder.
        count: clips of each validation set.
        size: side of the centre that is shown, in HR pixels.
        frames: at most so many of each clip, from its first.
        fps: of the clips.
    """

    def __init__(self, folder: Path, count: int = 2, size: int = 256, frames: int = 48, fps: int = 12) -> None:
        self.folder = folder
        self.count = count
        self.size = size
        self.frames = frames
        self.fps = fps
        self._clips: dict[str, dict[str, list[np.ndarray]]] = {}  # of each shown clip, the frames by column

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: SRModule,
        outputs: dict[str, Any],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the centre of a frame, as 8 bits."""
        if not trainer.is_global_zero or "sr" not in outputs:
            return
        name = f"{outputs['set']}_{batch['clip'][0]}"
        shown = sum(clip.startswith(f"{outputs['set']}_") for clip in self._clips)
        if name not in self._clips and shown >= self.count:
            return
        clip = self._clips.setdefault(name, {})
        for column in COLUMNS:
            kept = clip.setdefault(column, [])
            if column in outputs and len(kept) < self.frames:
                kept.append(np.asarray(as_picture(_centre(outputs[column], self.size))))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """Write and show them."""
        folder = sample_folder(self.folder, pl_module)
        for name, clip in self._clips.items():
            columns = {column: frames for column, frames in clip.items() if frames}
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / f"{name}_xt.png") as temporary:
                time_slice(columns).save(temporary, format="PNG")
            with replacing(folder / f"{name}.mp4") as temporary:
                write_clip(temporary, side_by_side(columns), self.fps)
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    caption = [f"{name}: {' | '.join(columns)}"]
                    image, video = folder / f"{name}_xt.png", folder / f"{name}.mp4"
                    logger.log_image(f"time_slices/{name}", [str(image)], step=pl_module.step, caption=caption)
                    logger.log_video(
                        f"clips/{name}", [str(video)], step=pl_module.step, caption=caption, format=["mp4"]
                    )
        self._clips = {}


def time_slice(columns: dict[str, list[np.ndarray]]) -> Image.Image:
    """The middle row of each column's frames (T, H, W, 3) over time, downwards."""
    row = columns["hr"][0].shape[0] // 2
    stretch = max(SLICE_HEIGHT, SLICE_ROWS // len(columns["hr"]))
    tiles = {
        label: np.stack([frame[row] for frame in frames]).repeat(stretch, axis=0) for label, frames in columns.items()
    }
    return labelled({label: Image.fromarray(tile) for label, tile in tiles.items()})


def side_by_side(columns: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
    """Frames with all columns beside each other, (H, W, 3)."""
    moments = zip(*columns.values(), strict=True)
    return [
        np.asarray(labelled({label: Image.fromarray(tile) for label, tile in zip(columns, moment, strict=True)}))
        for moment in moments
    ]


def write_clip(path: Path, frames: list[np.ndarray], fps: int) -> None:
    """Write uint8 frames (H, W, 3) as H.264 in an MP4 file; an odd last row or column is left out."""
    import av

    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]))))
        container.mux(stream.encode())


def _centre(image: Tensor, size: int) -> Tensor:
    top, left = (max(side - size, 0) // 2 for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size]
