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
    """SOAP of the package pytorch-optimizer; a kernel has a basis for each of its four dimensions.

    The first update only prepares the bases, and changes no weight.

    Args:
        network: to be trained.
        learning_rate: of the first update.
        betas: decay of the running means of the gradient, and of its square in the eigenbasis.
        weight_decay: share of itself, times the learning rate, that a weight loses at each update; not biases, norms.
        frequency: updates from one renewal of the eigenbases to the next.
        largest: dimension from which on there is no basis: it takes the memory of its square.
    """
    made = from_package("soap", "pytorch_optimizer", "SOAP")
    return made(
        decay_groups(trainable(network), weight_decay),
        lr=learning_rate,
        betas=tuple(map(float, betas)),
        precondition_frequency=frequency,
        max_precondition_dim=largest,
    )
