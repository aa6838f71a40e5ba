"""A network between two others of the same kind, by averaging their weights."""

from pathlib import Path

import torch
from torch import Tensor

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.generators.generator import Generator


def load_between(first: str | Path, second: str | Path, weight: float) -> tuple[Generator, Checkpoint]:
    """Return the network whose weights are `(1 - weight) * first + weight * second`, in eval mode.

    Network interpolation (ESRGAN, Wang et al. 2018, section 3.4) goes smoothly from one network's output to the
    other's where the second was fine-tuned from the first: from PSNR to LPIPS between a pixel run and the GAN that
    started from it, from weak to strong denoising between realesr-general-wdn-x4v3 (0) and realesr-general-x4v3 (1).

    Args:
        first: run folder or checkpoint, as for `checkpoints.reading.read`.
        second: another of the same network.
        weight: of the second, in [0, 1].

    Raises:
        SRError: two networks that differ, or as `load_generator`.
    """
    generator, one = load_generator(first)
    other_generator, other = load_generator(second)
    weights, others = generator.state_dict(), other_generator.state_dict()
    if one.generator != other.generator or {k: v.shape for k, v in weights.items()} != {
        k: v.shape for k, v in others.items()
    }:
        raise SRError(
            f"{one.source} and {other.source} are different networks: only weights of one network with equal "
            f"arguments can be averaged ({_described(one)}; {_described(other)})"
        )
    if one.bits != other.bits:
        raise SRError(
            f"{one.source} and {other.source} were trained with data.bits={one.bits} and {other.bits}: only networks "
            "for the same images can be averaged"
        )
    generator.load_state_dict({name: _between(weights[name], others[name], weight) for name in weights})
    source = f"{1 - weight:g} of {one.source} and {weight:g} of {other.source}"
    return generator, Checkpoint(generator.state_dict(), one.generator, source, bits=one.bits)


def _between(first: Tensor, second: Tensor, weight: float) -> Tensor:
    if not first.is_floating_point():  # batch norm's count of batches
        return first
    return torch.lerp(first.double(), second.double(), weight).to(first.dtype)


def _described(checkpoint: Checkpoint) -> str:
    return ", ".join(f"{key}={value}" for key, value in (checkpoint.generator or {"name": "unknown"}).items())
