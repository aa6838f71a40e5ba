"""Adan (Xie et al. 2022, arXiv 2208.06677): Adam with Nesterov momentum, computed from the change of the gradient."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Len
from torch import nn

from sr_experiments.config.constraints import Weight
from sr_experiments.training.optimizers import OPTIMIZERS, Beta, decay_groups, from_package, trainable


@OPTIMIZERS.register("adan")
def adan(
    network: nn.Module,
    learning_rate: float,
    betas: Annotated[Sequence[Beta], Len(3, 3)] = (0.98, 0.92, 0.99),
    weight_decay: Weight = 0.0,
) -> torch.optim.Optimizer:
    """Adan from the package pytorch-optimizer.

    Args:
        network: network to train.
        learning_rate: learning rate of the first update.
        betas: decay rates of the running averages of the gradient, its change, and the square of both combined.
        weight_decay: each update divides a weight by 1 + this value times the learning rate; not biases and norms.
    """
    made = from_package("adan", "pytorch_optimizer", "Adan")
    return made(decay_groups(trainable(network), weight_decay), lr=learning_rate, betas=betas)
