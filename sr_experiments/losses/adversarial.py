"""Adversarial losses on logits of any shape, for both sides of the game."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Share, Weight
from sr_experiments.losses import LOSSES

Logits = Tensor | Sequence[Tensor]  # of one scale, or of several


class AdversarialLoss(nn.Module):
    """What the GAN training asks of a loss.

    Args:
        label_smoothing: with s, the discriminator's target for real images is 1 - s (one-sided, Salimans et al. 2016),
            if the loss has targets.
    """

    uses_real = False  # whether `generator` needs D's logits of real images

    def __init__(self, label_smoothing: Share = 0.0) -> None:
        super().__init__()
        self.real_target = 1.0 - label_smoothing

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss from logits of its images, and of real ones where `uses_real`."""
        raise NotImplementedError

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss from its logits."""
        raise NotImplementedError

    def gradient_penalty(self, discriminator: nn.Module, hr: Tensor, sr: Tensor) -> Tensor | None:
        """A further term of the discriminator's loss, from the images (N, C, H, W); None if there is none."""
        return None


@LOSSES.register("vanilla")
class VanillaLoss(AdversarialLoss):
    """Cross-entropy, non-saturating for the generator (Goodfellow et al. 2014, arXiv 1406.2661).

    With logits x it is softplus(-x) for what is to be real and softplus(x) for what is not: the logistic loss of
    StyleGAN, "softplus" in some code.
    """

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-log D(fake)."""
        return _bce(fake, 1.0)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log D(real) - log(1 - D(fake))."""
        return _bce(real, self.real_target) + _bce(fake, 0.0)


@LOSSES.register("relativistic")
class RelativisticLoss(AdversarialLoss):
    """Relativistic average GAN (1807.00734): more real than the average fake; ESRGAN's weighting (both halves / 2)."""

    uses_real = True

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Cross-entropy of fakes being the more real ones."""
        assert real is not None
        return 0.5 * (_bce(real - fake.mean(), 0.0) + _bce(fake - real.mean(), 1.0))

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Cross-entropy of reals being the more real ones."""
        return 0.5 * (_bce(real - fake.mean(), self.real_target) + _bce(fake - real.mean(), 0.0))


@LOSSES.register("lsgan")
class LeastSquaresLoss(AdversarialLoss):
    """Squared distance to the targets 1 and 0 (Mao et al. 2017, arXiv 1611.04076)."""

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """(D(fake) - 1)^2."""
        return (fake - 1).square().mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """(D(real) - 1)^2 + D(fake)^2."""
        return (real - self.real_target).square().mean() + fake.square().mean()


@LOSSES.register("hinge")
class HingeLoss(AdversarialLoss):
    """Margins of 1 for the discriminator (Lim & Ye 2017, arXiv 1705.02894)."""

    def __init__(self) -> None:
        super().__init__()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-D(fake)."""
        return -fake.mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(0, 1 - D(real)) + max(0, 1 + D(fake))."""
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


@LOSSES.register("wgan_gp")
class WassersteinLoss(AdversarialLoss):
    """Wasserstein distance with gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028).

    Use a discriminator without batch norm: the penalty is per sample.

    Args:
        penalty_weight: lambda, the weight of the penalty.
    """

    def __init__(self, penalty_weight: Weight = 10.0) -> None:
        super().__init__()
        self.penalty_weight = penalty_weight

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """-D(fake)."""
        return -fake.mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """D(fake) - D(real)."""
        return fake.mean() - real.mean()

    def gradient_penalty(self, discriminator: nn.Module, hr: Tensor, sr: Tensor) -> Tensor:
        """Lambda times (|grad D| - 1)^2 at random points between the images, (N, C, H, W), of each pair."""
        t = torch.rand(len(hr), 1, 1, 1, device=hr.device, dtype=hr.dtype)
        between = torch.lerp(sr.detach().to(hr), hr, t).requires_grad_(True)  # some networks give bf16 under autocast
        with torch.autocast(hr.device.type, enabled=False):
            gradient = slope(discriminator, between)
        return self.penalty_weight * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """|grad D|^2 / 2 at real images (N, C, H, W), mean over them (Mescheder et al. 2018, arXiv 1801.04406, R1).

    Logits of patches are added up, as in BasicSR. Use a discriminator without batch norm: the penalty is per sample.
    """
    with torch.autocast(real.device.type, enabled=False):
        gradient = slope(discriminator, real.detach().float().requires_grad_(True))
    return gradient.square().flatten(1).sum(1).mean() / 2


def slope(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Gradient of the sum of all logits by the images, which can be differentiated again."""
    logits = discriminator.forward(images)  # never its compiled form, which has no second derivative
    total = torch.stack([of_scale.sum() for of_scale in by_scale(logits)]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient


def by_scale(logits: Logits) -> Sequence[Tensor]:
    """Return the logits of each scale of a discriminator; one that has one scale gives a tensor."""
    return [logits] if isinstance(logits, Tensor) else logits


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
