"""Optimisers by name. To add one: a file with a function that creates it, registered there.

The function takes a network and the learning rate. It returns one optimiser or, if parts of the network need different
ones, a list of several. The learning rate of their parameter groups is set before each update.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, Len
from torch import nn

from sr_experiments.config.constraints import BatchSize, CountOrZero, Positive, Share
from sr_experiments.errors import SRError
from sr_experiments.packages.extras import install_extra
from sr_experiments.registry import Component, Group, Registry, build
from sr_experiments.training.schedules import SCHEDULES

Beta = Annotated[float, Ge(0), Le(0.999999)]
Betas = Annotated[Sequence[Beta], Len(2, 2)]  # `make_optimizers` makes them a tuple of floats
Optimizers = torch.optim.Optimizer | list[torch.optim.Optimizer]

OPTIMIZERS: Registry[Optimizers] = Registry(
    "optimizer", __name__, {"network": "model or loss.discriminator", "learning_rate": "optim.learning_rate"}
)
# Optimisers that can use each other's state when a run is resumed with the other.
ALIKE = ("adam", "adamw")


class OptimSettings(Group):
    """Settings of every optimiser, in addition to its own arguments."""

    learning_rate: Positive
    """Learning rate of the generator."""
    discriminator_learning_rate: Positive
    """Learning rate of the discriminator."""
    warmup_steps: CountOrZero
    """Steps over which the learning rate rises to its full value."""
    schedule: Annotated[Mapping[str, Any], Component(SCHEDULES)]
    """Learning rate schedule."""
    clip_norm: Positive | None
    """Maximum gradient norm of each network; null: no clipping."""
    accumulate: BatchSize
    """Batches per optimiser update."""
    ema_decay: Share | None
    """Decay of the exponential moving average of the weights; null: no average."""


def make_optimizers(network: nn.Module, config: Mapping[str, Any], learning_rate: float) -> list[torch.optim.Optimizer]:
    """Create the optimisers of a network's trainable parameters.

    Args:
        network: network to train.
        config: `name` and the arguments of the optimiser.
        learning_rate: learning rate of the first update.

    Raises:
        SRError: the optimiser's package is not installed.
    """
    if isinstance(betas := config.get("betas"), list | tuple):  # torch refuses lists, and (0, 0.99)
        config = {**config, "betas": tuple(float(beta) if type(beta) is int else beta for beta in betas)}
    made = build("optimizer", OPTIMIZERS, config, network=network, learning_rate=learning_rate)
    return made if isinstance(made, list) else [made]


def from_package(name: str, package: str, class_name: str) -> Callable[..., torch.optim.Optimizer]:
    """Return the class of an optimiser from a package of the extra `optimizers`.

    Raises:
        SRError: the package is not installed.
    """
    try:
        found: Callable[..., torch.optim.Optimizer] = getattr(import_module(package), class_name)
    except ImportError as error:
        distribution = package.replace("_", "-")
        raise SRError(f"optim={name} needs the package {distribution}: {install_extra('optimizers')}") from error
    return found


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """Return the trainable parameters of a network."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def is_matrix(parameter: nn.Parameter) -> bool:
    """Return whether at least two dimensions of a parameter are larger than 1, unlike in biases, norms and PReLU."""
    return sum(side > 1 for side in parameter.shape) > 1


def decay_groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return parameter groups with weight decay, and without it for biases, norms and PReLU slopes."""
    kinds = [[p for p in parameters if is_matrix(p) == decays] for decays in (True, False)]
    groups = zip(kinds, (weight_decay, 0.0), strict=True)
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def fused(parameters: Sequence[nn.Parameter]) -> bool | None:
    """Return the `fused` argument for torch's optimisers: true if the device has a fused kernel, otherwise None."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in parameters) or None
