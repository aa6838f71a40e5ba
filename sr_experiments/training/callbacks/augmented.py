"""A picture of what the augmentations do: the first batch of a run, with each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback

from sr_experiments.data.augments import with_target
from sr_experiments.display.pictures import as_picture, labelled, stacked
from sr_experiments.files.writing import replacing
from sr_experiments.training.module import SRModule

SHOWN = 4  # images of a batch, at most


@dataclass(eq=False)
class Augmented(Callback):
    """Write `samples/augmented.png`: LR above HR of the first images of a run, as they are and with each augmentation.

    It draws from a generator of its own, so the run is the same without it.
    """

    folder: Path  # the run's samples folder
    bands: Sequence[int] = ()  # see `Samples`

    @torch.no_grad()
    def on_train_batch_start(
        self, trainer: pl.Trainer, module: SRModule, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Draw the picture before the first step."""
        if module.step or module.augments is None or not trainer.is_global_zero:
            return
        rng = torch.Generator().manual_seed(module.seed)
        lr, hr, frames = module.images_of(batch, rng)
        target, rows = module.target_of(batch, hr), []
        for name in ("", *module.augments.augments):
            new_lr, new_hr = lr, hr
            if name:
                change = partial(module.augments.apply, name, rng=rng, frames=frames)
                new_lr, new_hr, _ = with_target(change, lr, hr, target, rng)
            large = F.interpolate(new_lr, new_hr.shape[-2:], mode="nearest")
            for kind, images in (("lr", large), ("hr", new_hr)):
                shown = images[::frames][:SHOWN]
                rows.append(
                    labelled(
                        {
                            f"{name} {kind} {i}".strip(): as_picture(shown[i : i + 1], self.bands)
                            for i in range(len(shown))
                        }
                    )
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / "augmented.png") as temporary:
            stacked(rows).save(temporary, format="PNG")
