"""GAN training: pixel, perceptual and adversarial terms; SRGAN (1609.04802), ESRGAN (1809.00219) and kin."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.losses.adversarial import AdversarialLoss
from sr_experiments.training.module import SRModule
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

    def networks(self) -> dict[str, nn.Module]:
        """Generator and discriminator."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def eligible_as_best(self) -> bool:
        """Not before the adversarial loss has its full weight: pixel training has the better PSNR."""
        return self.step > self.full_gan_step

    def train_batch(self, lr: Tensor, hr: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One update of the generator and, after warm-up, one of the discriminator."""
        gan = self.ramp(self.step)
        sr = self.generator(lr)
        terms = {"pixel": self.pixel(sr, target)}
        if gan > 0:
            self.discriminator.requires_grad_(False)
            if self.perceptual is not None:
                terms["perceptual"] = self.perceptual(sr, target)
            terms["adversarial"] = generator_term(self.adversarial, self.discriminator, sr, hr)
        weighted = {name: self.weights[name] * term for name, term in terms.items()}
        if gan > 0:
            weighted["adversarial"] = gan * weighted["adversarial"]
        total = torch.stack([term.float() for term in weighted.values()]).sum()
        scalars = {f"loss/{name}": term.detach() for name, term in terms.items()}
        scalars |= {f"loss_weighted/{name}": term.detach() for name, term in weighted.items()}
        scalars |= {"loss/generator": total.detach()}
        scalars |= self.update(total, "generator")
        if gan > 0:
            self.discriminator.requires_grad_(True)
            loss, game = discriminator_loss(self.adversarial, self.discriminator, sr.detach(), hr)
            scalars |= game | self.update(loss, "discriminator")
        return scalars


def generator_term(adversarial: AdversarialLoss, discriminator: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
    """The generator's adversarial loss on what the discriminator is shown, (N, C, H, W) twice; it must be frozen."""
    of_real = discriminator(real).detach() if adversarial.uses_real else None
    return adversarial.generator(discriminator(fake), of_real)


def discriminator_loss(
    adversarial: AdversarialLoss, discriminator: nn.Module, fake: Tensor, real: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The discriminator's loss on (N, C, H, W) twice, and how the game stands."""
    of_real, of_fake = discriminator(real), discriminator(fake)
    loss = adversarial.discriminator(of_real, of_fake)
    scalars = {}
    penalty = adversarial.gradient_penalty(discriminator, real, fake)
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
