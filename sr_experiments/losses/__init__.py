"""Losses. To add one: one file with its nn.Module, and its name here."""

from collections.abc import Callable

from torch import nn

from sr_experiments.losses.adversarial import (
    AdversarialLoss,
    HingeLoss,
    LeastSquaresLoss,
    RelativisticLoss,
    VanillaLoss,
    WassersteinLoss,
)
from sr_experiments.losses.perceptual import LPIPSLoss, VGGLoss
from sr_experiments.losses.pixel import CharbonnierLoss, L1Loss, MSELoss

PIXEL_LOSSES: dict[str, Callable[..., nn.Module]] = {"mse": MSELoss, "l1": L1Loss, "charbonnier": CharbonnierLoss}
PERCEPTUAL_LOSSES: dict[str, Callable[..., nn.Module]] = {"vgg19": VGGLoss, "lpips": LPIPSLoss}
ADVERSARIAL_LOSSES: dict[str, Callable[..., AdversarialLoss]] = {
    "vanilla": VanillaLoss,
    "relativistic": RelativisticLoss,
    "lsgan": LeastSquaresLoss,
    "hinge": HingeLoss,
    "wgan_gp": WassersteinLoss,
}
