"""Adam (Kingma & Ba 2015, arXiv 1412.6980), the usual optimiser in super-resolution."""

import torch
from torch import nn

from sr_experiments.config.constraints import Weight
from sr_experiments.training.optimizers import OPTIMIZERS, Betas, fused, trainable


@OPTIMIZERS.register("adam")
def adam(
    network: nn.Module, learning_rate: float, betas: Betas = (0.9, 0.99), weight_decay: Weight = 0.0
) -> torch.optim.Optimizer:
    """PyTorch's Adam.

    Args:
        network: network to train.
        learning_rate: learning rate of the first update.
        betas: decay rates of the running averages of the gradient and its square.
        weight_decay: L2 penalty: each weight times this value is added to its gradient, as in BasicSR.
    """
    parameters = trainable(network)
    return torch.optim.Adam(parameters, learning_rate, betas, weight_decay=weight_decay, fused=fused(parameters))  # type: ignore[arg-type]
