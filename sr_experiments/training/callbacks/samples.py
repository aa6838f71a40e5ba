"""Validation pictures: strips lr | bicubic | sr | hr by step, at scale 1 input | sr | hr."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import flow_to_image

from sr_experiments.display.pictures import as_picture, error_map, labelled
from sr_experiments.files.writing import replacing
from sr_experiments.metrics.baseline import strip_tiles
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.metrics.suite import usual_crop
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.module import SRModule

CLIP_FRAME = 5  # the frame of a clip that is shown: recurrent networks have warmed up by then


@dataclass(eq=False)
class Samples(Callback):
    """Write `samples/step_<step>/<set>_<image>.png`, and log the same to loggers that take images.

    A clip is shown by one of its frames; a stage that makes no SR by its flow. A run in stages has a subfolder for each
    stage. W&B also gets the pictures as rows of a table, for comparing runs image by image.
    """

    folder: Path  # the run's samples folder
    count: int = 4  # strips of each validation set
    size: int = 256  # side of the crop that is shown, in HR pixels: where HR has the most texture
    bands: Sequence[int] = ()  # indices of those that are shown as red, green and blue; () for grey and RGB
    _pending: list[tuple[str, Image.Image, str]] = field(default_factory=list)
    _shown: Counter[str] = field(default_factory=Counter)  # strips of each set
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def on_validation_batch_end(self, trainer: pl.Trainer, module: SRModule, outputs: Any, batch: Any, *_: int) -> None:
        """Keep the strip of one of the first images."""
        shown = self._shown[outputs["set"]]
        if not trainer.is_global_zero or shown >= self.count or int(batch.get("frame", CLIP_FRAME)) != CLIP_FRAME:
            return
        scale = cast(int, module.generator.scale)
        image = Path(outputs["name"]).stem
        name = f"{outputs['set']}_{image}"
        with_sr = "sr" in outputs
        tiles = {key: outputs[key] for key in strip_tiles(scale)} if with_sr else _flow_tiles(outputs)
        pictures = {key: as_picture(crop, self.bands) for key, crop in self._crops(tiles, outputs["hr"], scale).items()}
        labels, caption = {key: key for key in tiles}, f"{name}: flow"
        if with_sr:
            baseline = module.validation.baseline
            psnr = PSNR("bands" if self.bands else "y", usual_crop(scale), module.degradation.bits)
            ours, theirs = (float(psnr.per_image(outputs[k], outputs["hr"])[0]) for k in ("sr", baseline))
            labels |= {baseline: f"{baseline} {theirs:.2f} dB", "sr": f"sr {ours:.2f} dB"}
            caption = f"{name}: {ours:.2f} dB, {baseline} {theirs:.2f} dB ({'all bands' if self.bands else 'Y'})"
            if any(run.tables != "none" for run in wandb_runs(trainer.loggers)):
                row: dict[str, Any] = {"image": f"{outputs['set']}/{image}", "step": module.step, **pictures}
                row["error"] = Image.fromarray(error_map(np.asarray(pictures["sr"]), np.asarray(pictures["hr"])))
                beside = module.validation.per_image(outputs[baseline], outputs["hr"])
                for key, value in module.validation.per_image(outputs["sr"], outputs["hr"]).items():
                    row |= {key: value, f"{key}_{baseline}": beside[key]}
                self._rows.append(row)
        lr = next(iter(pictures.values()))
        size = lr.width * scale, lr.height * scale
        enlarged = {labels[key]: picture.resize(size, Image.Resampling.NEAREST) for key, picture in pictures.items()}
        self._pending.append((name, labelled(enlarged), caption))
        self._shown[outputs["set"]] += 1

    def on_validation_end(self, trainer: pl.Trainer, module: SRModule) -> None:
        """Write the strips, and log them."""
        if not self._pending:
            return
        folder = sample_folder(self.folder, module)
        folder.mkdir(parents=True, exist_ok=True)
        for name, image, _ in self._pending:
            with replacing(folder / f"{name}.png") as temporary:
                image.save(temporary, format="PNG")
        names, images, captions = zip(*self._pending, strict=True)
        for run in wandb_runs(trainer.loggers):
            run.log_image(key="samples", images=list(images), caption=list(captions), step=module.step)
            if self._rows:
                run.set_table(self._rows)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, image in zip(names, images, strict=True):
                    logger.experiment.add_image(f"samples/{name}", np.asarray(image), module.step, dataformats="HWC")
        self._pending, self._rows = [], []
        self._shown.clear()

    def _crops(self, tiles: dict[str, Tensor], hr: Tensor, scale: int) -> dict[str, Tensor]:
        """Return the same place of each tile, (1, C, h, w); the first tile and others of its size are LR."""
        lr_height, lr_width = next(iter(tiles.values())).shape[-2:]
        side = self.size // scale
        height, width = min(side, lr_height), min(side, lr_width)
        top, left = textured_place(hr, scale, height, width)
        crops = {}
        for label, tile in tiles.items():
            s = 1 if tile.shape[-2:] == (lr_height, lr_width) else scale
            crops[label] = tile[..., top * s : (top + height) * s, left * s : (left + width) * s]
        return crops


def textured_place(hr: Tensor, scale: int, height: int, width: int) -> tuple[int, int]:
    """Return the top left corner, in LR pixels, of the crop of HR (1, C, H, W) in which LR has lost the most.

    What is lost of an LR pixel is the variance of HR under it, at scale 1 around it. It depends on HR alone, so all
    steps and runs show the same place.
    """
    grey = hr.float().mean(1, keepdim=True)
    side, pad = (3, 1) if scale == 1 else (scale, 0)
    mean, mean_square = (F.avg_pool2d(x, side, scale, pad, count_include_pad=False) for x in (grey, grey.square()))
    lost = mean_square - mean.square()
    stride = max(1, min(height, width) // 8)
    sums = F.avg_pool2d(lost, (height, width), stride)[0, 0]
    best = int(sums.argmax())
    return best // sums.shape[1] * stride, best % sums.shape[1] * stride


def _flow_tiles(outputs: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tiles that show a flow: LR, the warped previous LR, and the flows on one colour scale."""
    tiles = {"lr": outputs["lr"], "lr before, warped": outputs["warped"]}
    flows = {"flow": outputs["flow"].float()}
    if "true_flow" in outputs:
        scale = outputs["true_flow"].shape[-1] // outputs["flow"].shape[-1]
        # The true flow is of HR; flow in LR pixels is shorter by the scale.
        flows["true flow"] = F.avg_pool2d(outputs["true_flow"].float(), scale) / scale
    # One call for both: flow_to_image scales colours by the largest flow it is given.
    colours = flow_to_image(torch.cat(list(flows.values()))).float() / 255
    return tiles | {label: colours[i : i + 1] for i, label in enumerate(flows)}


def sample_folder(folder: Path, module: SRModule) -> Path:
    """Return the folder for the pictures of the current step."""
    return folder / module.stage() / f"step_{module.step:08d}"
