"""GAN training: pixel, perceptual and adversarial terms; SRGAN (1609.04802), ESRGAN (1809.00219) and kin."""

from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.losses.adversarial import AdversarialLoss
from sr_experiments.training.base import SRModule
from sr_experiments.training.schedules import ramp


class GANModule(SRModule):
    """Minimise a weighted sum of a pixel, a perceptual and an adversarial loss against a discriminator.

    Every batch updates the generator, then the discriminator. Until `warmup_steps` only the pixel loss
    trains the generator and the discriminator rests; then the adversarial weight rises over `ramp_steps`.

    Args:
        pixel: loss of (sr, hr).
        pixel_weight: its weight.
        perceptual: loss of (sr, hr) on a pretrained network's features, or None to do without.
        perceptual_weight: its weight.
        adversarial: generator's and discriminator's loss on logits.
        adversarial_weight: its full weight in the generator's loss.
        discriminator: images to logits, (N, 1) or (N, 1, h, w).
        warmup_steps: steps of pixel loss alone.
        ramp_steps: steps over which the adversarial weight rises to full.
        ramp_shape: "linear" or "cosine".
        **base: arguments of `SRModule`.
    """

    def __init__(
        self,
        pixel: nn.Module,
        perceptual: nn.Module | None,
        adversarial: AdversarialLoss,
        discriminator: nn.Module,
        pixel_weight: float = 1e-2,
        perceptual_weight: float = 1.0,
        adversarial_weight: float = 5e-3,
        warmup_steps: int = 0,
        ramp_steps: int = 0,
        ramp_shape: str = "linear",
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.discriminator = discriminator
        self.pixel = pixel
        self.perceptual = perceptual
        self.adversarial = adversarial
        self.weights = {"pixel": pixel_weight, "perceptual": perceptual_weight, "adversarial": adversarial_weight}
        self.full_gan_step = warmup_steps + ramp_steps
        self.ramp = ramp(ramp_shape, warmup_steps, ramp_steps)

    def networks(self) -> list[tuple[nn.Module, float]]:
        """Generator and discriminator."""
        return [
            (self.generator, self.optim.learning_rate),
            (self.discriminator, self.optim.discriminator_learning_rate),
        ]

    def eligible_as_best(self) -> bool:
        """Not before the adversarial loss has its full weight: pixel training has the better PSNR."""
        return self.step > self.full_gan_step

    def train_batch(self, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """One update of the generator and, after warm-up, one of the discriminator."""
        gan = self.ramp(self.step)
        sr = self.generator(lr)
        terms = {"pixel": self.pixel(sr, hr)}
        if gan > 0:
            self.discriminator.requires_grad_(False)
            if self.perceptual is not None:
                terms["perceptual"] = self.perceptual(sr, hr)
            terms["adversarial"] = self._generator_adversarial(sr, hr)
        weighted = {name: self.weights[name] * term for name, term in terms.items()}
        if gan > 0:
            weighted["adversarial"] = gan * weighted["adversarial"]
        total = torch.stack([term.float() for term in weighted.values()]).sum()
        scalars = {f"loss/{name}": term.detach() for name, term in terms.items()}
        scalars |= {f"loss_weighted/{name}": term.detach() for name, term in weighted.items()}
        scalars |= {"loss/generator": total.detach()}
        scalars |= self.update_network(0, total)
        if gan > 0:
            self.discriminator.requires_grad_(True)
            scalars |= self._train_discriminator(sr.detach(), hr)
        return scalars

    def _generator_adversarial(self, sr: Tensor, hr: Tensor) -> Tensor:
        real = self.discriminator(hr).detach() if self.adversarial.uses_real else None
        return self.adversarial.generator(self.discriminator(sr), real)

    def _train_discriminator(self, sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        real, fake = self.discriminator(hr), self.discriminator(sr)
        loss = self.adversarial.discriminator(real, fake)
        scalars = {}
        penalty = self.adversarial.gradient_penalty(self.discriminator, hr, sr)
        if penalty is not None:
            scalars["loss/gradient_penalty"] = penalty.detach()
            loss = loss + penalty
        scalars |= self.update_network(1, loss)
        real, fake = real.detach().float(), fake.detach().float()
        return scalars | {
            "loss/discriminator": loss.detach(),
            "gan/d_real": real.mean(),
            "gan/d_fake": fake.mean(),
            "gan/margin": real.mean() - fake.mean(),
            # Share of (real, fake) pairs that D puts in the right order: 1 is a won game, 0.5 a lost one.
            "gan/d_accuracy": (real > fake).float().mean(),
        }
