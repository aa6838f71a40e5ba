"""The discriminator of a GAN: what it teaches the generator, and how and when it learns itself."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Count, Weight
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.errors import SRError
from sr_experiments.losses.adversarial import AdversarialLoss, WassersteinLoss, by_scale, r1_penalty
from sr_experiments.registry import Group, build, optional

log = logging.getLogger(__name__)


class DiscriminatorSettings(Group):
    """Settings of every discriminator, in addition to its own arguments."""

    every: Count = optional()
    """Update the discriminator once in this many steps."""
    update_margin: float | None = optional()
    """Update the discriminator only while log D(real) - log D(fake) is below this value; null: always."""
    r1_gamma: Weight = optional()
    """Weight of the R1 penalty: half the squared gradient norm of the sum of all logits at real images; 0: none."""
    r1_every: Count = optional()
    """Compute the R1 penalty once in this many updates of the discriminator, multiplied by that number."""


@dataclass(eq=False)
class Adversary:
    """A discriminator with its loss; SRGAN (1609.04802), ESRGAN (1809.00219), TecoGAN (1811.09393) and kin."""

    loss: AdversarialLoss  # on logits, for both sides
    discriminator: nn.Module  # images (N, C, H, W) to logits, (N, 1) or (N, 1, h, w), or those of several scales
    every: int = 1  # see `DiscriminatorSettings`, as for the next
    update_margin: float | None = None
    r1_gamma: float = 0.0
    r1_every: int = 1

    def generator_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's adversarial loss on generated and real images, (N, C, H, W) each."""
        self.discriminator.requires_grad_(False)  # gradients go through it, to the images
        of_real = [logits.detach() for logits in by_scale(self.discriminator(real))] if self.loss.uses_real else None
        of_fake = by_scale(self.discriminator(fake))
        return _mean(self.loss.generator(one, of_real[i] if of_real else None) for i, one in enumerate(of_fake))

    def discriminator_loss(self, fake: Tensor, real: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss on detached generated and real images, and what is logged of the game.

        Args:
            fake: (N, C, H, W).
            real: the same.
            step: of the run or of its stage.
        """
        self.discriminator.requires_grad_(True)
        reals, fakes = by_scale(self.discriminator(real)), by_scale(self.discriminator(fake))
        pairs = list(zip(reals, fakes, strict=True))
        loss = _mean(self.loss.discriminator(*pair) for pair in pairs)
        scalars = {}
        if self.r1_gamma and step // self.every % self.r1_every == 0:
            r1 = r1_penalty(self.discriminator, real)
            scalars["loss/r1_penalty"] = r1.detach()
            loss = loss + self.r1_gamma * self.r1_every * r1
        penalty = self.loss.gradient_penalty(self.discriminator, real, fake)
        if penalty is not None:
            scalars["loss/gradient_penalty"] = penalty.detach()
            loss = loss + penalty
        game = [_game(of_real.detach().float(), of_fake.detach().float()) for of_real, of_fake in pairs]
        scalars["loss/discriminator"] = loss.detach()
        return loss, scalars | {key: _mean(one[key] for one in game) for key in game[0]}


def _game(of_real: Tensor, of_fake: Tensor) -> dict[str, Tensor]:
    """What is logged of the logits of one scale."""
    return {
        "gan/d_real": of_real.mean(),
        "gan/d_fake": of_fake.mean(),
        "gan/margin": of_real.mean() - of_fake.mean(),
        # What TecoGAN calls the distance: mean log D(real) - mean log D(fake).
        "gan/log_margin": F.logsigmoid(of_real).mean() - F.logsigmoid(of_fake).mean(),
        # Share of (real, fake) pairs that D puts in the right order: 1 is a won game, 0.5 a lost one.
        "gan/d_accuracy": (of_real > of_fake).float().mean(),
    }


def _mean(of_scales: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(of_scales)).mean()


def build_adversary(loss: AdversarialLoss, settings: dict[str, Any], channels: int) -> Adversary:
    """Build the discriminator of `loss.discriminator` for images of so many channels.

    Batch norm makes the logit of an image depend on the rest of the batch, so that there is no gradient at one image to
    penalise (Gulrajani et al. 2017, section 4).

    Raises:
        SRError: a wrong setting, or the R1 penalty with batch norm.
    """
    own = {key: settings[key] for key in DiscriminatorSettings.model_fields if key in settings}
    arguments = {key: value for key, value in settings.items() if key not in own}
    adversary = Adversary(loss, build("discriminator", DISCRIMINATORS, arguments, channels=channels), **own)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in adversary.discriminator.modules()):
        what = (
            f"a penalty on the gradient at each image, and batch norm in discriminator {settings['name']} mixes images"
        )
        todo = "set loss.discriminator.norm=none or instance"
        if adversary.r1_gamma:
            raise SRError(f"loss.discriminator.r1_gamma is {what}: {todo}, or r1_gamma=0")
        if isinstance(loss, WassersteinLoss) and loss.penalty_weight:
            log.warning("wgan_gp has %s: %s", what, todo)  # not refused, since runs were started with it
    return adversary
