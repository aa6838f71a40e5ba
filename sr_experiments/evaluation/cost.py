"""The cost of a network, on whatever hardware it runs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

SIDE = 64  # LR pixels of the image that operations are counted on


def parameters(network: nn.Module) -> int:
    """Count the parameters."""
    return sum(p.numel() for p in network.parameters())


@torch.inference_mode()
def macs_per_pixel(network: nn.Module) -> float:
    """Count the multiply-accumulate operations (MACs) for one LR pixel, in convolutions and matrix products.

    Counted on one LR image of 64x64; for a recurrent network, on a frame that has a predecessor.

    Args:
        network: with `channels` and `forward(lr) -> sr`, or `step(lr, state) -> (sr, state)`, on the CPU.
    """
    lr = torch.full((1, int(network.channels), SIDE, SIDE), 0.5)  # type: ignore[arg-type]
    state = _run(network, lr, None)[1] if hasattr(network, "step") else None
    with FlopCounterMode(display=False) as counter:
        _run(network, lr, state)
    return counter.get_total_flops() / 2 / SIDE**2


def _run(network: nn.Module, lr: Tensor, state: Any) -> tuple[Tensor, Any]:
    return network.step(lr, state) if hasattr(network, "step") else (network(lr), None)  # type: ignore[operator]
