"""Validation pictures: strips lr | bicubic | sr | hr by step."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor
from torchvision.utils import flow_to_image

from sr_experiments.files import replacing
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.pictures import as_picture, error_map, labelled
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.callbacks.hooks import sr_module
from sr_experiments.training.module import SRModule

CLIP_FRAME = 5  # the frame of a clip that is shown: recurrent networks have warmed up by then


class Samples(Callback):
    """Write `samples/step_<step>/<set>_<image>.png`, and log the same to loggers that take images.

    A clip is shown by one of its frames; a stage that makes no SR by its flow. A run in stages has a subfolder for each
    stage. W&B also gets the pictures as rows of a table, for comparing runs image by image.

    Args:
        folder: the run's samples folder.
        count: number of strips of each validation set; 0 for none.
        size: side of the centre crop that is shown, in HR pixels.
    """

    def __init__(self, folder: Path, count: int = 4, size: int = 256) -> None:
        self.folder = folder
        self.count = count
        self.size = size
        self._pending: list[tuple[str, Image.Image, str]] = []
        self._rows: list[dict[str, Any]] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the strip of one of the first images."""
        if not trainer.is_global_zero or not self._wanted(outputs["set"], batch):
            return
        module = sr_module(pl_module)
        scale = cast(int, module.generator.scale)
        name = f"{outputs['set']}_{Path(outputs['name']).stem}"
        if "sr" not in outputs:
            self._pending.append((name, self._strip(_flow_tiles(outputs), scale), f"{name}: flow"))
            return
        psnr = PSNR(channels="y", crop_border=scale)
        ours, bicubic = (float(psnr.per_image(outputs[k], outputs["hr"])[0]) for k in ("sr", "bicubic"))
        caption = f"{name}: {ours:.2f} dB, bicubic {bicubic:.2f} dB (Y)"
        tiles = {
            "lr": outputs["lr"],
            f"bicubic {bicubic:.2f} dB": outputs["bicubic"],
            f"sr {ours:.2f} dB": outputs["sr"],
            "hr": outputs["hr"],
        }
        self._pending.append((name, self._strip(tiles, scale), caption))
        if any(run.tables != "none" for run in wandb_runs(trainer.loggers)):
            self._rows.append(self._row(module, outputs, scale))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the strips, and log them."""
        if not self._pending:
            return
        module = sr_module(pl_module)
        folder = sample_folder(self.folder, module)
        folder.mkdir(parents=True, exist_ok=True)
        for name, image, _ in self._pending:
            with replacing(folder / f"{name}.png") as temporary:
                image.save(temporary, format="PNG")
        images = [image for _, image, _ in self._pending]
        for logger in trainer.loggers:
            # Loggers have no common method for images.
            if isinstance(logger, WandbLogger):
                captions = [caption for _, _, caption in self._pending]
                logger.log_image(key="samples", images=images, caption=captions, step=module.step)
            elif isinstance(logger, TensorBoardLogger):
                for name, image, _ in self._pending:
                    logger.experiment.add_image(f"samples/{name}", np.asarray(image), module.step, dataformats="HWC")
        if self._rows:
            for run in wandb_runs(trainer.loggers):
                run.set_table(self._rows)
        self._pending, self._rows = [], []

    def _wanted(self, name: str, batch: Any) -> bool:
        if "frame" in batch and int(batch["frame"]) != CLIP_FRAME:
            return False
        return sum(strip.startswith(f"{name}_") for strip, _, _ in self._pending) < self.count

    def _strip(self, tiles: dict[str, Tensor], scale: int) -> Image.Image:
        """Return the centres side by side; the first tile is LR and is enlarged to HR, like others of its size."""
        centres = self._centres(tiles, scale)
        lr_size = next(iter(centres.values())).shape[-2:]
        return labelled(
            {
                label: as_picture(
                    F.interpolate(centre.float(), scale_factor=scale, mode="nearest")
                    if centre.shape[-2:] == lr_size
                    else centre
                )
                for label, centre in centres.items()
            }
        )

    def _row(self, module: SRModule, outputs: dict[str, Any], scale: int) -> dict[str, Any]:
        """Return an image's row of the W&B table: its name, pictures of its centre, metrics of the whole image."""
        tiles = {key: outputs[key] for key in ("lr", "bicubic", "sr", "hr")}
        pictures = {key: as_picture(centre) for key, centre in self._centres(tiles, scale).items()}
        row: dict[str, Any] = {"image": f"{outputs['set']}/{Path(outputs['name']).stem}", "step": module.step}
        row |= pictures
        row["error"] = Image.fromarray(error_map(np.asarray(pictures["sr"]), np.asarray(pictures["hr"])))
        ours, bicubic = (module.validation.per_image(outputs[key], outputs["hr"]) for key in ("sr", "bicubic"))
        for key, value in ours.items():
            row |= {key: value, f"{key}_bicubic": bicubic[key]}
        return row

    def _centres(self, tiles: dict[str, Tensor], scale: int) -> dict[str, Tensor]:
        """Return the centre of each tile, (1, C, h, w); the first tile and others of its size are LR."""
        lr_height, lr_width = next(iter(tiles.values())).shape[-2:]
        side = self.size // scale
        height, width = min(side, lr_height), min(side, lr_width)
        top, left = (lr_height - height) // 2, (lr_width - width) // 2
        centres = {}
        for label, tile in tiles.items():
            s = 1 if tile.shape[-2:] == (lr_height, lr_width) else scale
            centres[label] = tile[..., top * s : (top + height) * s, left * s : (left + width) * s]
        return centres


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
