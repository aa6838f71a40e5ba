"""Send an alert when a loss becomes NaN."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sr_experiments.errors import NotFinite
from sr_experiments.tracking.wandb_run import wandb_runs


class Alerts(Callback):
    """Send a W&B alert when training ends because a loss or gradient is not finite; for GANs see GANHealth."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Send the alert if the exception is a NaN or infinite value."""
        if isinstance(exception, NotFinite):
            for run in wandb_runs(trainer.loggers):
                run.alert("NaN", str(exception))
