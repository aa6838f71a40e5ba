"""Losses. To add one: one file with its nn.Module, and its name here."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sr_experiments.losses.adversarial import (
    AdversarialLoss,
    HingeLoss,
    LeastSquaresLoss,
    RelativisticLoss,
    VanillaLoss,
    WassersteinLoss,
)
from sr_experiments.losses.fft import FFTLoss
from sr_experiments.losses.perceptual import LPIPSLoss, VGGLoss
from sr_experiments.losses.pixel import PIXEL_LOSSES
from sr_experiments.losses.temporal import PingPongLoss, WarpLoss

LOSSES: dict[str, Callable[..., nn.Module]] = {
    **PIXEL_LOSSES,
    "vgg19": VGGLoss,
    "lpips": LPIPSLoss,
    "fft": FFTLoss,
    "warp": WarpLoss,
    "ping_pong": PingPongLoss,
    "vanilla": VanillaLoss,
    "relativistic": RelativisticLoss,
    "lsgan": LeastSquaresLoss,
    "hinge": HingeLoss,
    "wgan_gp": WassersteinLoss,
}


def is_adversarial(term: Mapping[str, Any]) -> bool:
    """Whether the settings of a term, `{"name": ..., ...}`, are those of an adversarial loss."""
    loss = LOSSES.get(str(term.get("name")))
    return isinstance(loss, type) and issubclass(loss, AdversarialLoss)


def inputs_of(loss: object) -> tuple[str, ...]:
    """Names of the tensors that a loss (or its class) takes; without an attribute `inputs`, SR and its target."""
    return getattr(loss, "inputs", ("sr", "target"))
