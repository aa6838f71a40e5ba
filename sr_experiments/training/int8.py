"""Fine-tuning of a network for int8: convolutions compute as int8 will, and the float network shows what is wanted."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import SRError
from sr_experiments.inference.int8 import INPUT_LEVELS, steps_of
from sr_experiments.losses.objective import Outputs
from sr_experiments.training.ema import ema_copy
from sr_experiments.training.module import SRModule

Ranges = Mapping[str, Sequence[float]]  # by the name of a convolution, the lowest and the highest value that it reads


class FakeQuantizedConv2d(nn.Conv2d):
    """A convolution that reads 256 levels of a fixed range, with weights of 255 levels a channel, in floating point.

    Gradients go through the rounding as if it weren't there (the straight-through estimator, Bengio et al. 2013,
    arXiv 1308.3432), and not to inputs beyond the range. Parameters are those of the convolution it is made from.
    """

    low: float
    high: float

    @classmethod
    def of(cls, convolution: nn.Conv2d, low: float, high: float) -> "FakeQuantizedConv2d":
        """Return a convolution with the parameters of another, whose input has this range, with 0 on a level."""
        made = cls.__new__(cls)
        made.__dict__ = {**convolution.__dict__, "low": low, "high": high}
        return made

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to what a convolution makes of its levels."""
        step = (self.high - self.low) / (INPUT_LEVELS - 1)
        levels = _rounded((input.clamp(self.low, self.high) - self.low) / step) * step + self.low
        steps = steps_of(self.weight.detach()).view(-1, 1, 1, 1)
        return self._conv_forward(levels, _rounded(self.weight / steps) * steps, self.bias)


def _rounded(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


def fake_quantize(network: nn.Module, ranges: Ranges) -> None:
    """Let the convolutions of a network that have a range compute as in int8; names of parameters stay as they are.

    Raises:
        SRError: a name is of no convolution, or a range without 0 in it.
    """
    modules = dict(network.named_modules())
    for name, (low, high) in ranges.items():
        parent, _, last = name.rpartition(".")
        convolution = modules.get(name)
        if not isinstance(convolution, nn.Conv2d):
            raise SRError(f"int8.{name}: this network has no such convolution; sr quantize --train sets int8")
        if not low <= 0 <= high or low == high:
            raise SRError(f"int8.{name}=[{low:g}, {high:g}] is no range with 0 in it; sr quantize --train sets int8")
        setattr(network.get_submodule(parent), last, FakeQuantizedConv2d.of(convolution, low, high))


class Int8Module(SRModule):
    """Fine-tune a network for int8; the other arguments are as of `SRModule`.

    Images should look like those of the network in floating point, which is frozen and kept in checkpoints: it is these
    that the terms of the objective have as target. The generator has its own weights in checkpoints, not rounded.

    Args:
        ranges: of the inputs of the convolutions that are in int8.
    """

    def __init__(self, ranges: Ranges, **base: Any) -> None:
        super().__init__(**base)
        self.float_network = ema_copy(self.generator)
        fake_quantize(self.generator, ranges)
        if self.ema is not None:
            fake_quantize(self.ema, ranges)

    def super_resolve(self, lr: Tensor, hr: Tensor, target: Tensor) -> Outputs:
        """Run both networks on a batch."""
        with torch.no_grad():
            target = self.float_network(lr)
        return super().super_resolve(lr, hr, target)

    def eligible_as_best(self) -> bool:
        """Whether this is the end: no metric of validation says how near int8 is to the float network."""
        return self.step >= self.max_steps
