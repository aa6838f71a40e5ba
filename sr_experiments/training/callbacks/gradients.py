"""Histograms of gradients in W&B: which layers learn, which have vanishing or exploding gradients."""

from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from sr_experiments.tracking.wandb_run import wandb_runs
from sr_experiments.training.module import SRModule

BINS = 64


@dataclass(eq=False)
class Gradients(Callback):
    """Log `gradients/<network>/<block>`: the gradients the optimisers use, clipped and accumulated over all batches.

    A block is a layer of the network, or an item of a list of layers (`body.3`): one histogram per block keeps those of
    a deep network small. It draws no random numbers and changes nothing, so the run stays bit-exact.
    """

    every: int  # interval in steps; the first update of each interval is logged

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: SRModule, optimizer: torch.optim.Optimizer) -> None:
        """Log the gradients of the network whose optimiser is about to step."""
        import wandb

        step = module.step + 1
        # Only the first update of an interval is logged; with accumulation an update may not fall on a multiple.
        if step // self.every == max(step - module.optim.accumulate, 0) // self.every:
            return
        index = next(i for i, known in enumerate(trainer.optimizers) if known is optimizer)
        name = module.optimizer_owners[index]
        if module.optimizer_owners.index(name) < index:  # a network with several is logged at its first one
            return
        network = module.networks()[name]
        histograms = {}
        for block, gradients in blocks(network).items():
            counts = histogram(torch.cat([gradient.detach().flatten().float() for gradient in gradients]))
            if counts is not None:
                histograms[f"gradients/{name}/{block}"] = wandb.Histogram(np_histogram=counts)
        for run in wandb_runs(trainer.loggers):
            run.log_metrics(histograms, step)


def blocks(network: nn.Module) -> dict[str, list[Tensor]]:
    """Return the gradients of a network by block; parameters without a gradient are left out."""
    found: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            first, *rest = name.split(".")
            block = f"{first}.{rest[0]}" if rest and rest[0].isdigit() else first
            found.setdefault(block, []).append(parameter.grad)
    return found


def histogram(values: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Return counts and edges of `BINS` bins between the smallest and largest finite value; None if there is none."""
    values = values[values.isfinite()]
    if not len(values):
        return None
    low, high = (float(edge) for edge in values.aminmax())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return torch.histc(values, BINS, low, high).long().cpu().numpy(), np.linspace(low, high, BINS + 1)
