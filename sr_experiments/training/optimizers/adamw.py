"""AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101): Adam with decoupled weight decay."""

import torch
from torch import nn

from sr_experiments.config.constraints import Weight
from sr_experiments.training.optimizers import OPTIMIZERS, Betas, decay_groups, fused, trainable


@OPTIMIZERS.register("adamw")
def adamw(
    network: nn.Module,
    learning_rate: float,
    betas: Betas = (0.9, 0.99),
    weight_decay: Weight = 0.0,
    decay_biases: bool = True,
) -> torch.optim.Optimizer:
    """PyTorch's AdamW.

    Args:
        network: network to train.
        learning_rate: learning rate of the first update.
        betas: decay rates of the running averages of the gradient and its square.
        weight_decay: decoupled weight decay: each update shrinks a weight by this fraction, times the learning rate.
        decay_biases: whether weight decay also applies to biases, norms and other one-dimensional parameters.
    """
    parameters = trainable(network)
    groups = parameters if decay_biases else decay_groups(parameters, weight_decay)
    return torch.optim.AdamW(groups, learning_rate, betas, weight_decay=weight_decay, fused=fused(parameters))  # type: ignore[arg-type]
