"""The objective: the named, weighted loss terms that a generator minimises, for any network."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from sr_experiments.config.constraints import Count, CountOrZero, NameOf, Weight
from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES
from sr_experiments.losses.adversarial import AdversarialLoss
from sr_experiments.losses.perceptual import PerceptualLoss
from sr_experiments.pretrained.fetch import WeightsUnavailable
from sr_experiments.registry import Group, build, optional

log = logging.getLogger(__name__)

# `weight: auto` in a GAN. A perceptual term holds the picture (ESRGAN); without one the pixel term must, with a
# thousand times the weight of the adversarial one, as in SRGAN-MSE (Ledig et al. 2017).
AUTO_WEIGHT_BESIDE_PERCEPTUAL = 0.01
AUTO_WEIGHT_ALONE = 5.0

RAMPS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "cosine": lambda t: 0.5 * (1 - math.cos(math.pi * t)),
}


class TermSettings(Group):
    """Settings of every loss term, in addition to its own arguments."""

    weight: Weight | Literal["auto"] = optional()
    """Weight of the term, 1 by default; auto: chosen to suit the other terms of a GAN."""
    start: CountOrZero = optional()
    """First step at which the term is used; in a run with stages, counted from the start of the stage."""
    ramp: CountOrZero = optional()
    """Steps over which the weight then rises from 0."""
    ramp_shape: Annotated[str, NameOf(RAMPS)] = optional()
    """Shape of the rise."""
    every: Count = optional()
    """Compute the term once in this many steps."""
    required: bool = optional()
    """Stop if pretrained weights are not available, instead of leaving the term out."""


OWN_SETTINGS = tuple(TermSettings.model_fields)  # all other settings of a term are arguments of its loss


@dataclass(frozen=True)
class Term:
    """One term of an objective, with its schedule and weight."""

    loss: nn.Module  # compares the tensors that its `inputs` name; an adversarial loss is evaluated by the `Adversary`
    weight: float = 1.0  # at its full height
    start: int = 0  # first step at which the term acts, counted from the start of the stage where there are stages
    ramp: int = 0  # steps over which the weight then rises from 0
    ramp_shape: str = "linear"  # "linear" or "cosine"
    every: int = 1  # computed at each so many-th step

    @property
    def full_step(self) -> int:
        """First step at which the term has its full weight."""
        return self.start + self.ramp

    def share(self, step: int) -> float:
        """Fraction of the weight at a step, from 0 (before `start`) to 1."""
        if step < self.start:
            return 0.0
        return 1.0 if step >= self.full_step else RAMPS[self.ramp_shape]((step - self.start + 1) / (self.ramp + 1))

    def due(self, step: int) -> bool:
        """Whether the term is computed at a step."""
        return self.share(step) > 0 and step % self.every == 0


@dataclass(frozen=True)
class Outputs:
    """Tensors that losses can compare, by name: images in [0, 1], (N, C, H, W), or whole clips, (N, T, C, H, W)."""

    lr: Tensor  # network input
    hr: Tensor  # ground truth
    target: Tensor  # what SR is to look like: HR, or HR sharpened by the degradation
    sr: Tensor  # network output, with gradients
    flow: Tensor | None = None  # LR flow (N, T - 1, 2, H, W) of frames 1 to T - 1, where the network estimates it
    velocities: Mapping[str, Tensor] = field(default_factory=dict)  # of flow matching, see `VELOCITIES`
    sr_ema: Tensor | None = None  # output of the averaged weights, where a term compares it

    def __getitem__(self, name: str) -> Tensor:
        """`sr_clip` is the clips, `sr` their frames as a batch of images; likewise of the others."""
        if name in self.velocities:
            return self.velocities[name]
        tensor = getattr(self, name.removesuffix("_clip"))
        return tensor.flatten(0, 1) if tensor.ndim == 5 and name in IMAGES else tensor


IMAGES = ("lr", "hr", "target", "sr")
AVERAGED = "sr_ema"  # of image networks that have an average
CLIPS = ("lr_clip", "hr_clip", "target_clip", "sr_clip", "flow")
VELOCITIES = ("velocity", "velocity_target", "first_velocity", "first_velocity_target")  # (N, C, H, W), SR size


def is_adversarial(term: Mapping[str, Any]) -> bool:
    """Return whether the settings of a term, `{"name": ..., ...}`, are those of an adversarial loss."""
    loss = LOSSES.get(str(term.get("name")))
    return isinstance(loss, type) and issubclass(loss, AdversarialLoss)


def inputs_of(loss: object) -> tuple[str, ...]:
    """Return the names of the tensors that a loss (or its class) takes: SR and its target, unless it has `inputs`."""
    return getattr(loss, "inputs", ("sr", "target"))


class Objective(nn.Module):
    """Weighted sum of named terms.

    Args:
        terms: terms by name, in the order in which they are summed. At most one of them is adversarial.
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        super().__init__()
        self.terms = dict(terms)
        self.weights = {name: term.weight for name, term in terms.items()}  # at their full height
        self.losses = nn.ModuleList(term.loss for term in terms.values())  # to move to the device with the networks
        # Name of the adversarial term, which the `Adversary` evaluates; empty if there is none.
        self.adversarial = next((n for n, t in terms.items() if isinstance(t.loss, AdversarialLoss)), "")

    def due(self, step: int, names: Iterable[str]) -> list[str]:
        """The terms of `names` that `evaluate` computes at a step."""
        return [name for name in names if name != self.adversarial and self.terms[name].due(step)]

    def compares(self, name: str, step: int) -> bool:
        """Return whether a term compares the tensor of this name at a step."""
        return any(name in inputs_of(term.loss) and term.due(step) for term in self.terms.values())

    def adversarial_acts(self, step: int, names: Iterable[str]) -> bool:
        """Whether the adversarial term is one of `names` and has started: from then on the discriminator trains."""
        return self.adversarial in names and self.terms[self.adversarial].share(step) > 0

    def check_inputs(self, available: Iterable[str], network: str) -> None:
        """Raise SRError if a term compares tensors that a training does not produce."""
        for name, term in self.terms.items():
            missing = () if name == self.adversarial else set(inputs_of(term.loss)) - set(available)
            if missing:
                needed = "a recurrent network, such as model=frvsr"
                if AVERAGED in missing:
                    needed = "an image network and optim.ema_decay"
                elif missing & set(VELOCITIES):
                    needed = "a flow, model=flow or flow_distilled"
                raise SRError(
                    f"loss.terms.{name} compares {' and '.join(sorted(missing))}, which training {network} does not "
                    f"produce: it needs {needed}"
                )

    def unreached(self, steps: Mapping[str, int]) -> dict[str, str]:
        """Return the terms that start only after the steps, by name, of the run or of their longest stage, and why."""
        return {
            f"{name} loss": f"it starts at step {term.start} of {steps[name]}: train longer, or set "
            f"loss.terms.{name}.start=0"
            for name, term in self.terms.items()
            if term.start >= steps[name]
        }

    def check_always_acts(self, names: Iterable[str], where: str = "loss.terms") -> None:
        """Raise SRError unless one of the terms acts at every step: else there would be steps with nothing to do."""
        if not any(self.terms[name].start == 0 and self.terms[name].every == 1 for name in names):
            raise SRError(f"{where}: some steps have no term to train on; give one of them start=0 and every=1")

    def evaluate(self, name: str, outputs: Outputs) -> Tensor:
        """Value of one term, unweighted; not of an adversarial one."""
        loss = self.terms[name].loss
        return loss(*(outputs[key] for key in inputs_of(loss)))

    def weighted_sum(
        self, values: Mapping[str, Tensor], weights: Mapping[str, float], step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the unweighted values of terms, each with its weight at this step.

        Returns:
            The sum, and the values to log: `loss/<term>` and, if there are several terms, `loss_weighted/<term>` and
            `loss/generator`.
        """
        weighted = {}
        for name, value in values.items():
            weighted[name] = weights[name] * value
            if (share := self.terms[name].share(step)) < 1:
                weighted[name] = share * weighted[name]
        total = torch.stack([value.float() for value in weighted.values()]).sum()
        scalars = {f"loss/{name}": value.detach() for name, value in values.items()}
        if len(self.terms) > 1:
            scalars |= {f"loss_weighted/{name}": value.detach() for name, value in weighted.items()}
            scalars["loss/generator"] = total.detach()
        return total, scalars


def build_objective(
    terms: Mapping[str, Mapping[str, Any]], left_out: dict[str, str], substituted: dict[str, str]
) -> Objective:
    """Build the terms of `loss.terms`.

    Args:
        terms: settings of each term by its name.
        left_out: receives the terms whose pretrained weights are not available, with the reason.
        substituted: receives the terms that were replaced by another loss for the same reason.

    Raises:
        SRError: an unknown loss or a wrong setting; a required term can't be built; two adversarial terms; no term.
    """
    for name, settings in terms.items():
        if "name" not in settings:
            raise SRError(f"loss.terms.{name}.name is not set: name a loss, or remove the term with ~loss.terms.{name}")
    terms = {name: settings for name, settings in terms.items() if settings["name"] != "none"}
    adversarial = [name for name, settings in terms.items() if is_adversarial(settings)]
    if len(adversarial) > 1:
        raise SRError(f"loss.terms has {len(adversarial)} adversarial terms, {' and '.join(adversarial)}: keep one")
    losses = {name: _build_loss(name, settings, left_out, substituted) for name, settings in terms.items()}
    built = {}
    for name, loss in losses.items():
        if loss is not None:
            own = {k: v for k, v in terms[name].items() if k in OWN_SETTINGS and k not in ("weight", "required")}
            weight = _weight(f"loss.terms.{name}.weight", terms[name].get("weight", 1.0), losses.values())
            built[name] = Term(loss, weight, **own)
    if not built:
        raise SRError("loss.terms is empty: give at least one term, for example loss/pixel=l1")
    return Objective(built)


def _build_loss(
    name: str, settings: Mapping[str, Any], left_out: dict[str, str], substituted: dict[str, str]
) -> nn.Module | None:
    """The loss of a term; without its weights, if it isn't required, its substitute or None, with a warning."""
    arguments = {key: value for key, value in settings.items() if key not in OWN_SETTINGS}
    kind = f"{name} loss"
    try:
        return build(kind, LOSSES, arguments)
    except WeightsUnavailable as error:
        if settings.get("required", False):
            raise SRError(f"{kind} is required: {error}") from error
        why = str(error)
    factory: Any = LOSSES[str(settings["name"])]
    other = factory.substitute(arguments)  # of a `PerceptualLoss`: no others need weights
    if other is not None:
        try:
            loss = build(kind, LOSSES, other)
        except WeightsUnavailable as error:
            why = f"{why}; {error}"
        else:
            layers = ", ".join(f"{layer} {weight:g}" for layer, weight in other["layers"].items())
            substituted[kind] = f"{other['name']} ({layers}) takes the place of {settings['name']}: {why}"
            log.warning("%s: %s", kind, substituted[kind])
            return loss
    left_out[kind] = why
    log.warning("%s is LEFT OUT: %s", kind, why)
    return None


def _weight(key: str, weight: float | str, losses: Iterable[nn.Module | None]) -> float:
    """The weight of a term, `auto` resolved by what else is in the objective."""
    if weight != "auto":
        return float(weight)
    kinds = [type(loss) for loss in losses]
    if not any(issubclass(kind, AdversarialLoss) for kind in kinds):
        raise SRError(f"{key}=auto weighs the term against the others of a GAN: give a number")
    return (
        AUTO_WEIGHT_BESIDE_PERCEPTUAL if any(issubclass(kind, PerceptualLoss) for kind in kinds) else AUTO_WEIGHT_ALONE
    )
