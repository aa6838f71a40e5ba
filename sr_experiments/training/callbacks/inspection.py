"""Save the batch, the networks and the values when a loss becomes NaN, for inspection, and send an alert."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from sr_experiments.display.pictures import as_picture, labelled, stacked
from sr_experiments.errors import NotFinite
from sr_experiments.files.writing import link_or_copy, replacing, write_json
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.module import Pair, SRModule
from sr_experiments.training.scalars import not_finite

log = logging.getLogger(__name__)

SHOWN = 32  # images of a batch in batch.png, at most


@dataclass(eq=False)
class Inspection(Callback):
    """Write `nan/step_<step>/` when training ends because a loss or gradient is not finite.

    - batch.pt: LR, HR and target as the networks saw them, (N, C, H, W), all frames of clips; if a gradient is not
      finite, those of all batches of the update. A batch is a function of (seed, step) and is made again here, so
      training steps pay nothing for it.
    - batch.png: LR and HR of its first images.
    - state.pt: networks and optimisers when it was noticed, at most `trainer.log_every` steps later.
    - before.ckpt: the last checkpoint; resuming from it leads to the same step.
    - report.json: the value and its step, all values of the steps around it, the samples and their files, and the
      names of tensors with NaN or infinite values.
    - config.yaml
    """

    folder: Path  # the run folder
    data: Any  # the data module, which makes a batch again, see `SRDataModule.batch_of`

    def on_exception(self, trainer: pl.Trainer, module: SRModule, exception: BaseException) -> None:
        """Save everything, and alert W&B, if the exception is a NaN or infinite value."""
        if not isinstance(exception, NotFinite):
            return
        # Each process has its own batch.
        rank = f"_rank{trainer.global_rank}" if trainer.global_rank else ""
        folder = self.folder / "nan" / f"step_{exception.step:08d}{rank}"
        try:
            self._save(folder, module, trainer.optimizers, exception)
        except Exception as error:  # a full disk, for example, must not hide the original error
            log.warning("could not keep the batch of step %d in %s: %s", exception.step, folder, error)
        else:
            # Alerts, summary.json and the terminal all show this message.
            exception.args = (f"{exception}; the batch is in {folder}",)
        for run in wandb_runs(trainer.loggers):
            run.alert("NaN", str(exception))

    @torch.no_grad()
    def _save(self, folder: Path, module: SRModule, optimizers: list[Any], error: NotFinite) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        state = {"state_dict": module.state_dict(), "optimizer_states": [one.state_dict() for one in optimizers]}
        last = self.folder / "checkpoints" / "last.ckpt"
        if last.is_file():
            with replacing(folder / "before.ckpt") as temporary:
                link_or_copy(last, temporary)
        with replacing(folder / "state.pt") as temporary:
            torch.save({**state, "step": module.step}, temporary)
        if (self.folder / "config.yaml").is_file():
            shutil.copyfile(self.folder / "config.yaml", folder / "config.yaml")
        # A gradient has contributions of all batches of its update.
        window = module.optim.accumulate if error.key.startswith("grad_norm/") else 1
        batches = [self._batch(module, step) for step in range(error.step - window, error.step)]
        pair = [torch.cat(parts) for parts in zip(*(pair for pair, _ in batches), strict=True)]
        with replacing(folder / "batch.pt") as temporary:
            torch.save(dict(zip(("lr", "hr", "target"), pair, strict=True)), temporary)
        with replacing(folder / "batch.png") as temporary:
            _sheet(pair[0], pair[1]).save(temporary, format="PNG")
        write_json(
            folder / "report.json",
            {
                "what": error.key,
                "step": error.step,
                "noticed_at_step": module.step,
                "message": str(error),
                "seed": module.seed,
                "values": error.seen,
                "learning_rates": {name: module.current_rate(name, error.step - 1) for name in module.networks()},
                "samples": [sample for _, samples in batches for sample in samples],
                "not_finite": not_finite({**state, "gradients": gradients, "lr": pair[0], "hr": pair[1]}),
            },
        )

    def _batch(self, module: SRModule, step: int) -> tuple[Pair, list[dict[str, Any]]]:
        """Return the training pair of a step, on the CPU, and where its samples come from."""
        batch, samples = self.data.batch_of(step)
        on_device = {key: value.to(module.device) for key, value in batch.items()}
        pair = module.pairs[step] if step in module.pairs else module.pair_of(on_device, step)
        if module.pool is not None:  # the pool gives pairs of earlier batches
            samples = [{"number": sample["number"], "file": "the pool, see degradation.pool"} for sample in samples]
        lr, hr, target = (images.detach().cpu().contiguous() for images in pair)
        return (lr, hr, target), samples


def _sheet(lr: Tensor, hr: Tensor) -> Image.Image:
    """Return LR, enlarged, beside HR, with a row for each image; NaN is black."""
    lr, hr = (images[:SHOWN].float().nan_to_num(0.0, 1.0, 0.0) for images in (lr, hr))
    large = F.interpolate(lr, hr.shape[-2:], mode="nearest")
    rows = [
        labelled({f"{i}: lr": as_picture(large[i : i + 1]), "hr": as_picture(hr[i : i + 1])}) for i in range(len(hr))
    ]
    return stacked(rows)
