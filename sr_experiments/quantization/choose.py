"""Which convolutions are worth computing in int8: found by measuring, in PyTorch, on calibration pictures."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from sr_experiments.evaluation.candidates import to_tensor
from sr_experiments.generators.generator import Generator
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.quantization.calibrate import Calibrated
from sr_experiments.quantization.network import quantised_part, reading_levels, with_quantised_weights
from sr_experiments.quantization.pictures import Picture

log = logging.getLogger(__name__)

GROUPS = 32  # sets of convolutions that are tried apart; more would take too long
OPERATIONS = 1e11  # multiply-adds of one trial
Enlarge = Callable[[Generator, Picture], Tensor]  # makes SR (1, C, H, W) of a picture


@dataclass(frozen=True)
class Bounds:
    """What int8 may cost: `max_drop` dB of PSNR (Y) against HR; `fidelity` is the least PSNR to the fp32 output."""

    max_drop: float
    fidelity: float


class Trials:
    """Tries sets of convolutions in int8 on a few pictures; `original` makes what the network should in fp32.

    Attributes:
        groups: names of convolutions that are in int8 together or not at all, the costliest for their speed first.
    """

    def __init__(
        self,
        generator: Generator,
        calibrated: Mapping[str, Calibrated],
        pictures: Sequence[Picture],
        enlarge: Enlarge,
        original: Generator,
    ) -> None:
        self.generator = generator
        self.calibrated = calibrated
        self.enlarge = enlarge
        self.macs, cost = _macs(generator, calibrated, pictures[0], enlarge)
        self.pictures = list(pictures[: int(min(max(OPERATIONS / max(cost, 1), 2), 8))])
        self.expected = [enlarge(original, picture).clamp(0, 1) for picture in self.pictures]
        self._luma = PSNR("y", crop_border=generator.scale)
        self.groups = _groups(list(calibrated))

    def error(self, names: Sequence[str]) -> tuple[float, float]:
        """Return the PSNR to the fp32 output, and the loss of PSNR (Y) in dB, with these convolutions in int8."""
        chosen = {name: self.calibrated[name] for name in names}
        network = with_quantised_weights(self.generator, chosen)
        own, drops = [], []
        with reading_levels(network, {name: found.layer for name, found in chosen.items()}):
            for picture, expected in zip(self.pictures, self.expected, strict=True):
                sr = self.enlarge(network, picture).clamp(0, 1)
                own.append(-10 * np.log10(max(float((sr - expected).double().square().mean()), 1e-12)))
                hr = to_tensor(picture.hr).float()
                hr = hr[..., hr.shape[2] - sr.shape[2] :, hr.shape[3] - sr.shape[3] :]
                before, after = (float(self._luma.per_image(image, hr)) for image in (expected, sr))
                drops.append(before - after)
        return float(np.mean(own)), float(np.mean(drops))

    def rank(self) -> None:
        """Order the groups: first those whose error is the largest for the multiply-adds that they save."""

        def cost(group: Sequence[str]) -> float:
            own, _ = self.error(group)
            return 10 ** (-own / 10) / max(sum(self.macs.get(name, 0.0) for name in group), 1.0)

        self.groups.sort(key=cost, reverse=True)

    def fewest_kept(self, bounds: Bounds) -> int:
        """Return how many groups, from the first, have to stay in higher precision for the rest to be within bounds."""

        def holds(kept: int) -> bool:
            own, drop = self.error(self.without(kept))
            log.debug("%d of %d groups in higher precision: %.1f dB, drop %.3f", kept, len(self.groups), own, drop)
            return own >= bounds.fidelity and drop <= bounds.max_drop

        if holds(0):
            return 0
        log.info("not all convolutions can be in int8: looking for those that can")
        self.rank()
        low, high = 0, len(self.groups)  # low is too few, high enough
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return high

    def without(self, kept: int) -> list[str]:
        """Return the convolutions that are in int8 when so many groups are not."""
        return [name for group in self.groups[kept:] for name in group]

    def share(self, names: Sequence[str]) -> float:
        """Return the share of the multiply-adds of all convolutions that these have."""
        return sum(self.macs.get(name, 0.0) for name in names) / max(sum(self.macs.values()), 1.0)


def _groups(names: list[str]) -> list[list[str]]:
    """Return the convolutions one by one; of a large network neighbours together, but the first and the last."""
    if len(names) <= GROUPS:
        return [[name] for name in names]
    between = [list(part) for part in np.array_split(names[1:-1], GROUPS - 2)]
    return [[names[0]], *([str(name) for name in part] for part in between), [names[-1]]]


def _macs(
    generator: Generator, calibrated: Mapping[str, Calibrated], picture: Picture, enlarge: Enlarge
) -> tuple[dict[str, float], float]:
    """Return the multiply-adds of each convolution that may be in int8, and of all convolutions, for one picture."""
    counted: dict[str, float] = {}
    part = quantised_part(generator)

    def count(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            counted[name] = counted.get(name, 0.0) + output.numel() * float(module.get_parameter("weight")[0].numel())

        return hook

    convolutions = {name: module for name, module in part.named_modules() if isinstance(module, nn.Conv2d)}
    hooks = [module.register_forward_hook(count(name)) for name, module in convolutions.items()]
    try:
        enlarge(generator, picture)
    finally:
        for hook in hooks:
            hook.remove()
    return counted, sum(counted.values())
