"""Validation clips: short videos, and time slices that make flicker visible."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from sr_experiments.display.pictures import as_picture, labelled
from sr_experiments.files.writing import replacing
from sr_experiments.metrics.baseline import BASELINES
from sr_experiments.tracking.loggers import log_clip
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.callbacks.samples import sample_folder
from sr_experiments.training.module import SRModule

SLICE_HEIGHT = 4  # pixels of a frame's row in a time slice, at least
SLICE_ROWS = 192  # height in pixels that the rows of short clips are stretched to
COLUMNS = (*BASELINES, "compared", "sr", "hr")


@dataclass(eq=False)
class Clips(Callback):
    """Write `<set>_<clip>.mp4` and `<set>_<clip>_xt.png` beside the samples, and show them in W&B and TensorBoard.

    The clip shows the centres of the baseline, the network of `val.compare_with`, SR and HR side by side. The time
    slice shows one row of pixels of each over time, downwards: still content is a vertical line, smooth motion a clean
    slanted one, flicker a ragged one.
    """

    folder: Path  # the run's samples folder
    count: int = 2  # clips of each validation set
    size: int = 256  # side of the centre that is shown, in HR pixels
    frames: int = 48  # largest number of frames of a clip, from its first
    fps: int = 12  # frame rate of the clips
    _clips: dict[str, dict[str, list[np.ndarray]]] = field(default_factory=dict)  # {clip: {column: frames}}
    _shown: Counter[str] = field(default_factory=Counter)  # clips of each set

    def on_validation_batch_end(self, trainer: pl.Trainer, module: SRModule, outputs: Any, batch: Any, *_: int) -> None:
        """Keep the centre of a frame, uint8 (H, W, 3)."""
        if not trainer.is_global_zero or "sr" not in outputs:
            return
        name = f"{outputs['set']}_{batch['clip'][0]}"
        if name not in self._clips:
            if self._shown[outputs["set"]] >= self.count:
                return
            self._shown[outputs["set"]] += 1
            self._clips[name] = {}
        clip = self._clips[name]
        for column in COLUMNS:
            # 8 bits, since float frames of a whole clip would take four times the memory.
            kept = clip.setdefault(column, [])
            if column in outputs and len(kept) < self.frames:
                kept.append(np.asarray(as_picture(_centre(outputs[column], self.size))))

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Write the clips and time slices, and log them to W&B or TensorBoard."""
        folder = sample_folder(self.folder, module)
        for name, clip in self._clips.items():
            columns = {column: frames for column, frames in clip.items() if frames}
            folder.mkdir(parents=True, exist_ok=True)
            over_time, moving = time_slice(columns), side_by_side(columns)
            with replacing(folder / f"{name}_xt.png") as temporary:
                over_time.save(temporary, format="PNG")
            with replacing(folder / f"{name}.mp4") as temporary:
                write_clip(temporary, moving, self.fps)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    picture = np.asarray(over_time)
                    logger.experiment.add_image(f"time_slices/{name}", picture, module.step, dataformats="HWC")
                    log_clip(logger, f"clips/{name}", moving, self.fps, module.step)
            caption = [f"{name}: {' | '.join(columns)}"]
            for run in wandb_runs(trainer.loggers):
                image, video = folder / f"{name}_xt.png", folder / f"{name}.mp4"
                run.log_image(f"time_slices/{name}", [str(image)], step=module.step, caption=caption)
                run.log_video(f"clips/{name}", [str(video)], step=module.step, caption=caption, format=["mp4"])
        self._clips = {}
        self._shown.clear()


def time_slice(columns: dict[str, list[np.ndarray]]) -> Image.Image:
    """Return the middle row of each column's frames (T, H, W, 3) over time, downwards."""
    row = columns["hr"][0].shape[0] // 2
    stretch = max(SLICE_HEIGHT, SLICE_ROWS // len(columns["hr"]))
    tiles = {
        label: np.stack([frame[row] for frame in frames]).repeat(stretch, axis=0) for label, frames in columns.items()
    }
    return labelled({label: Image.fromarray(tile) for label, tile in tiles.items()})


def side_by_side(columns: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
    """Return frames, (H, W, 3), with all columns side by side."""
    moments = zip(*columns.values(), strict=True)
    return [
        np.asarray(labelled({label: Image.fromarray(tile) for label, tile in zip(columns, moment, strict=True)}))
        for moment in moments
    ]


def write_clip(path: Path, frames: list[np.ndarray], fps: int) -> None:
    """Write uint8 frames (H, W, 3) as H.264 in an MP4 file; yuv420p has no odd sides, so an odd last row is cut."""
    import av

    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_type = "AUTO"  # not slices, see video/encode.py
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]))))
        container.mux(stream.encode())


def _centre(image: Tensor, size: int) -> Tensor:
    top, left = (max(side - size, 0) // 2 for side in image.shape[-2:])
    return image[..., top : top + size, left : left + size]
