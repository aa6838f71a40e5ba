"""Schedule-free AdamW (Defazio et al. 2024, arXiv 2405.15682): an average of the weights instead of a schedule."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le, Len
from torch import Tensor, nn

from sr_experiments.config.constraints import Weight
from sr_experiments.training.optimizers import OPTIMIZERS, decay_groups, from_package, trainable

AVERAGING = ("schedule_free_adamw",)  # optimisers with an average of the weights


@OPTIMIZERS.register("schedule_free_adamw")
def schedule_free_adamw(
    network: nn.Module,
    learning_rate: float,
    betas: Annotated[Sequence[Annotated[float, Gt(0), Le(0.999999)]], Len(2, 2)] = (0.9, 0.99),
    weight_decay: Weight = 0.0,
) -> torch.optim.Optimizer:
    """AdamWScheduleFree from the package schedulefree.

    Gradients are computed at y, between the average x and the weights z, which the gradients update. The network holds
    y during training; validation, checkpoints and everything that reads them use x, see `average_into`.

    Args:
        network: network to train.
        learning_rate: learning rate of the first update.
        betas: fraction of x in y, and decay rate of the running average of the squared gradient.
        weight_decay: each update shrinks a weight by this fraction, times the learning rate; not biases and norms.
    """
    made = from_package("schedule_free_adamw", "schedulefree", "AdamWScheduleFree")
    optimizer: Any = made(decay_groups(trainable(network), weight_decay), lr=learning_rate, betas=betas)
    optimizer.train()
    return optimizer  # type: ignore[no-any-return]


@torch.no_grad()
def average_into(average: nn.Module, network: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Write the average x into a copy of a network in training; other parameters and buffers are copied.

    `AdamWScheduleFree.eval()` replaces y by the same x, and `train()` restores y from it, but only up to rounding, so
    the result of a run would depend on how often it is validated.
    """
    to_x = _between(optimizers)
    for x, y in zip(average.parameters(), network.parameters(), strict=True):
        z, beta = to_x.get(y, (y, 1.0))
        torch.lerp(y, z, 1 - 1 / beta, out=x.data)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)


@torch.no_grad()
def restart_average(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Restart the average from its current value: y and z become x, and earlier weights no longer count."""
    for y, (z, beta) in _between(optimizers).items():
        y.lerp_(z, 1 - 1 / beta)
        z.copy_(y)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group |= {"weight_sum": 0.0, "lr_max": -1.0}


def _between(optimizers: Iterable[torch.optim.Optimizer]) -> dict[Tensor, tuple[Tensor, float]]:
    """Return z and the fraction of x in y for each parameter that was updated."""
    return {
        y: (optimizer.state[y]["z"], group["betas"][0])
        for optimizer in optimizers
        for group in optimizer.param_groups
        for y in group["params"]
        if "z" in optimizer.state.get(y, {})
    }
