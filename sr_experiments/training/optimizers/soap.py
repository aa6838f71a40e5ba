"""SOAP (Vyas et al. 2024, arXiv 2409.11321): Adam in the eigenbasis of Shampoo's preconditioner."""

import torch
from torch import nn

from sr_experiments.config.constraints import Count, Weight
from sr_experiments.training.optimizers import OPTIMIZERS, Betas, decay_groups, from_package, trainable


@OPTIMIZERS.register("soap")
def soap(
    network: nn.Module,
    learning_rate: float,
    betas: Betas = (0.95, 0.95),
    weight_decay: Weight = 0.0,
    frequency: Count = 10,
    largest: Count = 1024,
) -> torch.optim.Optimizer:
    """SOAP from the package pytorch-optimizer; a kernel has one eigenbasis for each of its four dimensions.

    The first update only prepares the eigenbases and does not change the weights.

    Args:
        network: network to train.
        learning_rate: learning rate of the first update.
        betas: decay rates of the running averages of the gradient, and of its square in the eigenbasis.
        weight_decay: each update shrinks a weight by this fraction, times the learning rate; not biases and norms.
        frequency: number of updates between recomputations of the eigenbases.
        largest: dimensions larger than this have no eigenbasis, since its memory grows with the square.
    """
    made = from_package("soap", "pytorch_optimizer", "SOAP")
    return made(
        decay_groups(trainable(network), weight_decay),
        lr=learning_rate,
        betas=betas,
        precondition_frequency=frequency,
        max_precondition_dim=largest,
    )
