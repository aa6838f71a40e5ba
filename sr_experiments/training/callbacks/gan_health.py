"""Warn when the discriminator of a GAN has won or lost for many steps."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from sr_experiments.runs.trouble import LOST, PATIENCE, WON, judged
from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.callbacks.record import Record
from sr_experiments.training.module import SRModule

log = logging.getLogger(__name__)

ADVICE = {
    "won": "lower optim.discriminator_learning_rate, or set loss.terms.adversarial.label_smoothing=0.1",
    "lost": "raise optim.discriminator_learning_rate, or lower loss.terms.adversarial.weight; if its loss is large, "
    "the rate is far too high",
}


@dataclass(eq=False)
class GANHealth(Callback):
    """Watch `gan/d_accuracy`, the share of real-fake pairs that the discriminator orders correctly.

    It needs no threshold on logits, so it means the same for every adversarial loss. Its mean over the last `patience`
    steps decides: a discriminator that guesses is above one half as often as below. There is at most one warning in
    `patience` steps, and one W&B alert per run for each of won and lost.
    """

    record: Record  # has the latest logged means
    patience: int = PATIENCE  # length of the sliding window, in steps
    won: float = WON  # mean accuracy from which D has won: it learns nothing more, and G gets no useful gradient
    lost: float = LOST  # mean accuracy up to which D has lost: it can't tell real from fake, or has collapsed
    recent: list[tuple[int, float]] = field(default_factory=list)  # (step, accuracy) of log intervals in the window
    alerted: list[str] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Return the window, and the alerts sent so far."""
        return {"recent": self.recent, "alerted": self.alerted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the window and the alerts."""
        self.recent = [(step, accuracy) for step, accuracy in state_dict.get("recent", ())]
        self.alerted = list(state_dict.get("alerted", ()))

    def on_train_batch_end(self, trainer: pl.Trainer, module: SRModule, outputs: Any, batch: Any, _: int) -> None:
        """Add each new logged mean to the window, and warn if its mean is too high or too low."""
        step = module.step
        if step % self.record.log_every or "gan/d_accuracy" not in self.record.latest:
            return
        self.recent.append((step, self.record.latest["gan/d_accuracy"]))
        if step - self.recent[0][0] < self.patience:
            return
        self.recent = [(when, accuracy) for when, accuracy in self.recent if when > step - self.patience]
        mean = sum(accuracy for _, accuracy in self.recent) / len(self.recent)
        state = judged(mean, self.won, self.lost)
        if state == "fair":
            return
        self.recent = self.recent[-1:]  # the next warning needs a full window again
        message = (
            f"the discriminator has {state} for {self.patience} steps (it orders {mean:.0%} of real-fake pairs "
            f"correctly, margin {self.record.latest['gan/margin']:+.2f}): {ADVICE[state]}"
        )
        log.warning(message)
        if state not in self.alerted:
            self.alerted.append(state)
            for run in wandb_runs(trainer.loggers):
                run.alert(f"discriminator has {state}", message)
