"""Is my GAN healthy? Warn when the discriminator has won or lost for long."""

import logging
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sr_experiments.training.base import SRModule
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.wandb_run import wandb_runs

log = logging.getLogger(__name__)


class GANHealth(Callback):
    """Watch `gan/d_accuracy`, the share of real-fake pairs that D orders rightly.

    It needs no threshold on logits, so it means the same for every adversarial loss. A warning comes once
    for each spell of `patience` steps; a W&B alert once in a run for each way of ending.

    Args:
        record: has the latest logged means.
        patience: how long a state must last, in steps.
        won: accuracy from which D has won: it learns nothing more and G gets no useful gradient.
        lost: accuracy up to which D has lost: it can't tell real from fake, or has collapsed.
    """

    def __init__(self, record: Record, patience: int = 1000, won: float = 0.995, lost: float = 0.5) -> None:
        self.record = record
        self.patience = patience
        self.won = won
        self.lost = lost
        self.state = "fair"
        self.since = 0
        self.alerted: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        """The current spell, and what was told already."""
        return {"state": self.state, "since": self.since, "alerted": self.alerted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the spell."""
        self.state, self.since = state_dict["state"], state_dict["since"]
        self.alerted = list(state_dict.get("alerted", ()))

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: SRModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Judge each new logged mean."""
        step = pl_module.step
        if step % self.record.log_every or "gan/d_accuracy" not in self.record.latest:
            return
        accuracy = self.record.latest["gan/d_accuracy"]
        state = "won" if accuracy >= self.won else "lost" if accuracy <= self.lost else "fair"
        if state != self.state:
            self.state, self.since = state, step
        elif state != "fair" and step - self.since >= self.patience:
            advice = {
                "won": "lower optim.discriminator_learning_rate, or set loss.adversarial.label_smoothing=0.1",
                "lost": "raise optim.discriminator_learning_rate, or lower loss.adversarial.weight",
            }[state]
            message = (
                f"the discriminator has {state} for {step - self.since} steps (it orders {accuracy:.0%} of real-fake "
                f"pairs rightly, margin {self.record.latest['gan/margin']:+.2f}): {advice}"
            )
            log.warning(message)
            if state not in self.alerted:
                self.alerted.append(state)
                for run in wandb_runs(trainer.loggers):
                    run.alert(f"discriminator has {state}", message)
            self.since = step
