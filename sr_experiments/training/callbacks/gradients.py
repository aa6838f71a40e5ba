"""Histograms of gradients in W&B: which layers learn, which rest, which explode."""

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.module import SRModule

BINS = 64


class Gradients(Callback):
    """Log `gradients/<network>/<block>`, what the optimisers get: clipped, over all accumulated batches.

    A block is a layer of the network or an item of a list of layers (`body.3`): one histogram a block keeps a deep
    network's small. Nothing random is drawn and nothing is changed, so a run with them ends with the same bits.

    Args:
        every: log at the first update of each interval of so many steps.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_before_optimizer_step(  # type: ignore[override]
        self, trainer: pl.Trainer, pl_module: SRModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log those of the network whose optimiser is about to step."""
        import wandb

        step = pl_module.step + 1
        if step // self.every == max(step - pl_module.optim.accumulate, 0) // self.every:
            return
        which = next(i for i, known in enumerate(trainer.optimizers) if known is optimizer)
        name, network = list(pl_module.networks().items())[which]
        histograms = {}
        for block, gradients in blocks(network).items():
            counts = histogram(torch.cat([gradient.detach().flatten().float() for gradient in gradients]))
            if counts is not None:
                histograms[f"gradients/{name}/{block}"] = wandb.Histogram(np_histogram=counts)
        for run in wandb_runs(trainer.loggers):
            run.log_metrics(histograms, step)


def blocks(network: nn.Module) -> dict[str, list[Tensor]]:
    """The gradients that a network has, by block."""
    found: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            first, *rest = name.split(".")
            block = f"{first}.{rest[0]}" if rest and rest[0].isdigit() else first
            found.setdefault(block, []).append(parameter.grad)
    return found


def histogram(values: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts and the edges of `BINS` bins from the smallest to the largest finite value; None if there is none."""
    values = values[values.isfinite()]
    if not len(values):
        return None
    low, high = (float(edge) for edge in values.aminmax())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return torch.histc(values, BINS, low, high).long().cpu().numpy(), np.linspace(low, high, BINS + 1)
