"""The cost of a network, on whatever hardware it runs."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator

SIDE = 64  # LR pixels of the image that operations are counted on


@torch.inference_mode()
def macs_per_pixel(network: Generator) -> float:
    """Count the multiply-accumulate operations (MACs) for one LR pixel, in convolutions and matrix products.

    Counted on one LR image of 64x64; for a recurrent network, on a frame that has a predecessor and, as many as
    it looks ahead, successors.

    Args:
        network: on the CPU or, of images, on the meta device, where it takes no time.
    """
    lr = torch.full((1, network.channels, SIDE, SIDE), 0.5, device=next(network.parameters()).device)
    later = network.lookahead * [lr] if isinstance(network, RecurrentGenerator) else []
    state = network.step(lr, None, *later)[1] if isinstance(network, RecurrentGenerator) else None
    with FlopCounterMode(display=False) as counter:
        if isinstance(network, RecurrentGenerator):
            network.step(lr, state, *later)
        else:
            network(lr)
    return counter.get_total_flops() / 2 / SIDE**2
