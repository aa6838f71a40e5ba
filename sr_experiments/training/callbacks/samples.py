"""Pictures to look at: lr | bicubic | sr | hr strips of validation images, by step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor

from sr_experiments.metrics import PSNR
from sr_experiments.training.base import SRModule
from sr_experiments.training.run_folder import replacing

LABEL_HEIGHT = 20
GAP = 4
CLIP_FRAME = 5  # of a clip, this frame is shown: recurrent networks have warmed up


class Samples(Callback):
    """Write `samples/step_<step>/<set>_<image>.png` and show the same to loggers that take images.

    Of clips, one frame each; of a run in stages, below a folder for each.

    Args:
        folder: the run's samples folder.
        count: strips of each validation set; 0 for none.
        size: side of the centre crop shown, in HR pixels.
    """

    def __init__(self, folder: Path, count: int = 4, size: int = 256) -> None:
        self.folder = folder
        self.count = count
        self.size = size
        self._pending: list[tuple[str, Image.Image, str]] = []

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: pl.Trainer,
        pl_module: SRModule,
        outputs: dict[str, Any],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the strip of one of the first images."""
        if not trainer.is_global_zero or not self._wanted(outputs["set"], batch):
            return
        scale = int(pl_module.generator.scale)  # type: ignore[arg-type]
        psnr = PSNR(channels="y", crop_border=scale)
        ours, bicubic = (float(psnr.per_image(outputs[k], outputs["hr"])[0]) for k in ("sr", "bicubic"))
        name = f"{outputs['set']}_{Path(outputs['name']).stem}"
        caption = f"{name}: {ours:.2f} dB, bicubic {bicubic:.2f} dB (Y)"
        labels = ["lr", f"bicubic {bicubic:.2f} dB", f"sr {ours:.2f} dB", "hr"]
        self._pending.append((name, self._strip(outputs, labels, scale), caption))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: SRModule) -> None:  # type: ignore[override]
        """Write and show the strips."""
        if not self._pending:
            return
        folder = sample_folder(self.folder, pl_module)
        folder.mkdir(parents=True, exist_ok=True)
        for name, image, _ in self._pending:
            with replacing(folder / f"{name}.png") as temporary:
                image.save(temporary, format="PNG")
        images = [image for _, image, _ in self._pending]
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                captions = [caption for _, _, caption in self._pending]
                logger.log_image(key="samples", images=images, caption=captions, step=pl_module.step)
            elif isinstance(logger, TensorBoardLogger):
                for name, image, _ in self._pending:
                    logger.experiment.add_image(f"samples/{name}", np.asarray(image), pl_module.step, dataformats="HWC")
        self._pending = []

    def _wanted(self, name: str, batch: Any) -> bool:
        if "frame" in batch and int(batch["frame"]) != CLIP_FRAME:
            return False
        return sum(strip.startswith(f"{name}_") for strip, _, _ in self._pending) < self.count

    def _strip(self, outputs: dict[str, Any], labels: list[str], scale: int) -> Image.Image:
        hr = outputs["hr"]
        side = self.size // scale * scale
        height, width = min(side, hr.shape[-2]), min(side, hr.shape[-1])
        top = (hr.shape[-2] - height) // 2 // scale * scale
        left = (hr.shape[-1] - width) // 2 // scale * scale
        lr = F.interpolate(outputs["lr"].float(), scale_factor=scale, mode="nearest")
        tiles = [t[..., top : top + height, left : left + width] for t in (lr, outputs["bicubic"], outputs["sr"], hr)]
        strip = Image.new("RGB", (4 * width + 3 * GAP, height + LABEL_HEIGHT), "white")
        draw = ImageDraw.Draw(strip)
        for i, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
            x = i * (width + GAP)
            draw.text((x + 2, 3), label, fill="black", font=ImageFont.load_default(13))
            strip.paste(as_picture(tile), (x, LABEL_HEIGHT))
        return strip


def sample_folder(folder: Path, pl_module: SRModule) -> Path:
    """Where the pictures of the current step go."""
    return folder / pl_module.stage() / f"step_{pl_module.step:08d}"


def as_picture(tile: Tensor) -> Image.Image:
    """A tensor (1, C, H, W) in [0, 1] as an 8-bit RGB image."""
    pixels = tile[0].float().mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    if pixels.shape[2] not in (1, 3):
        pixels = pixels[..., :1]
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).convert("RGB")
