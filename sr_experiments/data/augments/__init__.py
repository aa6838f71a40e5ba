"""Batch augmentations: LR and HR are changed in the same way, on the device, after LR has been generated.

To add one: a subclass of `Augment`, registered in its file, and a YAML file. Datasets do flips, rotations and crops.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sr_experiments.config.constraints import Share
from sr_experiments.data.depth import Bits
from sr_experiments.errors import SRError
from sr_experiments.registry import Group, Registry, build

Pair = tuple[Tensor, Tensor]  # LR (N, T, C, H, W) and HR (N, T, C, scale * H, scale * W) of clips, in [0, 1]


class Augment:
    """Base class of augmentations. All frames of a clip are changed in the same way.

    Attributes:
        needs_others: whether it mixes images of a batch, and so needs at least two.
        phase: phase of LR pixels, see `Degradation`.
        bits: depth of LR and HR.
    """

    needs_others = False
    phase = "centred"
    bits: Bits = 8

    def __init__(self) -> None:
        """Take no arguments; subclasses may."""

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator) -> Pair:
        """Return new LR and HR of the same sizes; `rng` is on the CPU, to avoid waiting for a device."""
        raise NotImplementedError


AUGMENTS: Registry[Augment] = Registry("augmentation", __name__)


class AugmentSettings(Group):
    """Settings of every augmentation, in addition to its own arguments."""

    probability: Share
    """Probability of being applied to a batch. At most one is applied, so all probabilities may add up to at most 1."""


class Augments:
    """Several augmentations, at most one per batch: the mixture of Yoo et al. 2020 (arXiv 2004.00448).

    Args:
        config: settings by name of the augmentation, each with `probability`.
        phase: phase of LR pixels, see `Degradation`.
        bits: depth of LR and HR.

    Raises:
        SRError: invalid setting, or probabilities that add up to more than 1.
    """

    def __init__(self, config: Mapping[str, Mapping[str, Any]], phase: str = "centred", bits: Bits = 8) -> None:
        self.probabilities = {name: float(settings["probability"]) for name, settings in config.items()}
        total = sum(self.probabilities.values())
        if total > 1 + 1e-9:
            raise SRError(
                f"the probabilities of augment.{', '.join(config)} add up to {total:g}: a batch gets one of them, so "
                "lower them until they add up to 1 or less"
            )
        own = {name: {k: v for k, v in s.items() if k != "probability"} for name, s in config.items()}
        self.augments = {name: build("augmentation", AUGMENTS, settings) for name, settings in own.items()}
        for augment in self.augments.values():
            augment.phase, augment.bits = phase, bits

    def __call__(self, lr: Tensor, hr: Tensor, rng: torch.Generator, frames: int = 1) -> Pair:
        """Apply at most one augmentation to a batch (N, C, H, W), in which the frames of a clip are consecutive."""
        drawn = float(torch.rand((), generator=rng, dtype=torch.float64))
        for name, probability in self.probabilities.items():
            drawn -= probability
            if drawn < 0:
                return self.apply(name, lr, hr, rng, frames)
        return lr, hr

    def apply(self, name: str, lr: Tensor, hr: Tensor, rng: torch.Generator, frames: int = 1) -> Pair:
        """Apply an augmentation, given by its name, to a batch (N, C, H, W)."""
        new_lr, new_hr = self.augments[name](lr.unflatten(0, (-1, frames)), hr.unflatten(0, (-1, frames)), rng)
        return new_lr.flatten(0, 1), new_hr.flatten(0, 1)


def with_target(
    change: Callable[[Tensor, Tensor], Pair], lr: Tensor, hr: Tensor, target: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Change LR, HR and what SR is to look like by one draw from `rng`.

    LR is changed with the target, which is sharpened HR or HR itself: so clean parts in it are the target's. A target
    sharpened only afterwards would be so where images meet, as LR is not.
    """
    if target is hr:
        new_lr, new_hr = change(lr, hr)
        return new_lr, new_hr, new_hr
    before = rng.get_state()
    new_lr, new_target = change(lr, target)
    rng.set_state(before)
    return new_lr, change(lr, hr)[1], new_target
