"""The discriminator of a GAN: what it teaches the generator, and how and when it learns itself."""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Count
from sr_experiments.discriminators import DISCRIMINATORS
from sr_experiments.losses.adversarial import AdversarialLoss
from sr_experiments.registry import Group, build, optional


class DiscriminatorSettings(Group):
    """What every discriminator has besides its own arguments."""

    every: Count = optional()
    """Update the discriminator once in this many steps."""
    update_margin: float | None = optional()
    """Update the discriminator only while log D(real) - log D(fake) is below this value; null: always."""


@dataclass(eq=False)
class Adversary:
    """A discriminator with its loss; SRGAN (1609.04802), ESRGAN (1809.00219), TecoGAN (1811.09393) and kin."""

    loss: AdversarialLoss  # on logits, for both sides
    discriminator: nn.Module  # images (N, C, H, W) to logits, (N, 1) or (N, 1, h, w)
    every: int = 1  # see `DiscriminatorSettings`, as for the next
    update_margin: float | None = None

    def generator_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's adversarial loss on generated and real images, (N, C, H, W) each."""
        self.discriminator.requires_grad_(False)  # gradients go through it, to the images
        of_real = self.discriminator(real).detach() if self.loss.uses_real else None
        return self.loss.generator(self.discriminator(fake), of_real)

    def discriminator_loss(self, fake: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss on detached generated and real images, and what is logged of the game."""
        self.discriminator.requires_grad_(True)
        of_real, of_fake = self.discriminator(real), self.discriminator(fake)
        loss = self.loss.discriminator(of_real, of_fake)
        scalars = {}
        penalty = self.loss.gradient_penalty(self.discriminator, real, fake)
        if penalty is not None:
            scalars["loss/gradient_penalty"] = penalty.detach()
            loss = loss + penalty
        of_real, of_fake = of_real.detach().float(), of_fake.detach().float()
        return loss, scalars | {
            "loss/discriminator": loss.detach(),
            "gan/d_real": of_real.mean(),
            "gan/d_fake": of_fake.mean(),
            "gan/margin": of_real.mean() - of_fake.mean(),
            # What TecoGAN calls the distance: mean log D(real) - mean log D(fake).
            "gan/log_margin": F.logsigmoid(of_real).mean() - F.logsigmoid(of_fake).mean(),
            # Share of (real, fake) pairs that D puts in the right order: 1 is a won game, 0.5 a lost one.
            "gan/d_accuracy": (of_real > of_fake).float().mean(),
        }


def build_adversary(loss: AdversarialLoss, settings: dict[str, Any], channels: int) -> Adversary:
    """Build the discriminator of `loss.discriminator` for images of so many channels."""
    own = {key: settings[key] for key in DiscriminatorSettings.model_fields if key in settings}
    arguments = {key: value for key, value in settings.items() if key not in own}
    return Adversary(loss, build("discriminator", DISCRIMINATORS, arguments, channels=channels), **own)
