"""Optimisers by name, fused where the device has a fused kernel."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(
    network: nn.Module, name: str, learning_rate: float, betas: Sequence[float], weight_decay: float
) -> torch.optim.Optimizer:
    """Return the optimiser of a network's trainable parameters."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    floats = tuple(float(beta) for beta in betas)  # torch refuses (0, 0.99)
    return OPTIMIZERS[name](parameters, lr=learning_rate, betas=floats, weight_decay=weight_decay, fused=fused or None)
