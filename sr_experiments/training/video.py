"""Staged training of frame-recurrent networks (Sajjadi et al. 2018), with TecoGAN's discriminator in a GAN stage."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.errors import SRError
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.generators.warp import warp
from sr_experiments.losses.objective import CLIPS, IMAGES, Outputs, inputs_of
from sr_experiments.training.adversary import Adversary
from sr_experiments.training.module import SRModule
from sr_experiments.training.stages import Stage, Stages

BORDER = 0.125  # share of each side of the warped frames that the discriminator doesn't see (TecoGAN: 128 to 96)


class VideoModule(SRModule):
    """Train a frame-recurrent generator through stages; see `Stage` for what one is.

    What trains, what is frozen and which terms act follows from the step, at every step. Clips have T frames, or
    2 * T - 1 where a term wants them run to their end and back (`PingPongLoss`). The discriminator judges three
    frames at once, see `spatio_temporal`.

    Args:
        stages: in their order.
        **base: arguments of `SRModule`.
    """

    loss_inputs = (*IMAGES, *CLIPS)
    generator: RecurrentGenerator

    def __init__(self, stages: Stages, **base: Any) -> None:
        super().__init__(**base)
        self.stages = stages
        for stage in stages.stages:
            self.objective.check_always_acts(self._weights(stage), f"stage.{stage.name}.losses")
            self._check_flow(stage)
        self.stage_ends = {
            end: f"{i}_{s.name}" for i, (s, end) in enumerate(zip(stages.stages, stages.ends, strict=True), 1)
        }

    def _check_flow(self, stage: Stage) -> None:
        """Refuse a stage that would teach a flow net where there is none."""
        if "fnet" in self.generator.parts:
            return
        where = f"stage.{stage.name}"
        if "fnet" in stage.trains:
            raise SRError(f"{where} trains fnet, but there is no flow net to train: set model.flow=net, or stages=[sr]")
        for name in self._weights(stage):
            if "flow" in inputs_of(self.objective.terms[name].loss):
                raise SRError(
                    f"{where} has the loss {name}, but there is no flow net to train: add ~{where}.losses.{name}"
                )

    def networks(self) -> dict[str, nn.Module]:
        """Flow net, where there is one, SR net and, in a GAN run, discriminator."""
        return {**self.generator.parts, **self.discriminators()}

    def trained_networks(self) -> Iterable[str]:
        """The networks that the stage trains."""
        return self.stages.at(self.step).trains

    def term_weights(self) -> Mapping[str, float]:
        """Weights of the stage's terms; those that could not be built are left out."""
        return self._weights(self.stages.at(self.step))

    def _weights(self, stage: Stage) -> dict[str, float]:
        own = self.objective.weights  # without the terms that could not be built
        return {name: own[name] if w is None else w for name, w in stage.losses.items() if name in own}

    def steps_of_terms(self) -> dict[str, int]:
        """Return the steps of the longest stage that each term acts in; of an unused one the whole run's."""
        steps = dict.fromkeys(self.objective.terms, self.max_steps)
        for stage in sorted(self.stages.stages, key=lambda stage: stage.steps):
            steps |= dict.fromkeys(self._weights(stage), stage.steps)
        return steps

    def update_margin(self, adversary: Adversary) -> float | None:
        """The stage's margin."""
        return self.stages.at(self.step).update_margin

    def learning_rate(self, network: str, step: int) -> float:
        """By the stage: its share of the base rate, on its own schedule."""
        stage = self.stages.at(step)
        factor = stage.schedule(step - stage.start)
        if network == "discriminator":
            return (
                factor * self.optim.discriminator_learning_rate if self.objective.adversarial in stage.losses else 0.0
            )
        return factor * self.optim.learning_rate * stage.trains.get(network, 0.0)

    def stage_start(self, step: int) -> int:
        """First step of the stage that a step belongs to."""
        return self.stages.at(step).start

    def makes_sr(self, step: int) -> bool:
        """Not in a stage that trains the flow net alone, by the warp loss."""
        return self.stages.at(step).makes_sr

    def eligible_as_best(self) -> bool:
        """Only in the last stage, once all its terms have their full weight; and the start, where it is validated."""
        if self.step == 0:
            return True
        last = self.stages.stages[-1]
        full = last.start + max(self.objective.terms[name].full_step for name in self._weights(last))
        return self.step > full or self.step >= self.max_steps

    def train_batch(self, lr: Tensor, hr: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Update what the stage trains from a batch of clips, whose frames lie one after the other."""
        stage = self.stages.at(self.step)
        for name, network in self.generator.parts.items():
            network.requires_grad_(name in stage.trains).train(name in stage.trains)
        lr, hr, target = (x.unflatten(0, (-1, stage.clip_length)) for x in (lr, hr, target))  # (N, T, C, H, W)
        number = self.stages.stages.index(stage) + 1
        return super().train_batch(lr, hr, target) | {"stage": torch.tensor(float(number), device=lr.device)}

    def super_resolve(self, lr: Tensor, hr: Tensor, target: Tensor) -> Outputs:
        """Run the generator, or in a stage without SR its flow net alone, on clips (N, T, C, H, W)."""
        if any(getattr(self.objective.terms[name].loss, "palindrome", False) for name in self.term_weights()):
            lr, hr, target = (torch.cat((clip, clip[:, :-1].flip(1)), 1) for clip in (lr, hr, target))
        if self.makes_sr(self.step):
            sr, flow = self.generator(lr)
        else:
            sr, flow = hr, self.generator.clip_flow(lr)
        return Outputs(lr, hr, target, sr, flow)

    def discriminator_inputs(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Three frames at a time of the SR clip, with gradients, and of the HR clip: (N * T // 3, 9 * C, H, W)."""
        lr, hr, sr = (
            clip[:, : clip.shape[1] // 3 * 3].reshape(-1, 3, *clip.shape[2:])
            for clip in (outputs.lr, outputs.hr, outputs.sr)
        )
        with torch.no_grad():
            before, after = (self.generator.flow(lr[:, 1], lr[:, i]) for i in (0, 2))
            flows = [self.generator.scale * self.generator.enlarge(flow) for flow in (before, after)]
            condition = self.generator.enlarge(lr.flatten(0, 1)).unflatten(0, (-1, 3))
        fake, real = (spatio_temporal(clip, condition, *flows) for clip in (sr, hr))
        return fake.contiguous(memory_format=self.memory_format), real.contiguous(memory_format=self.memory_format)


def spatio_temporal(clip: Tensor, condition: Tensor, to_before: Tensor, to_after: Tensor) -> Tensor:
    """What TecoGAN's discriminator sees of three frames (arXiv 1811.09393, section 3.1).

    The frames as they are; the outer two warped to the middle one, without their border, where content comes
    from outside; and the enlarged LR frames.

    Args:
        clip: (N, 3, C, H, W).
        condition: enlarged LR frames (N, 3, C, H, W).
        to_before: flow of the middle frame to the first (N, 2, H, W), in HR pixels.
        to_after: flow of the middle frame to the last.

    Returns:
        (N, 9 * C, H, W).
    """
    first, middle, last = clip.unbind(1)
    warped = torch.stack((warp(first, to_before), middle.float(), warp(last, to_after)), 1)
    height, width = clip.shape[-2:]
    y, x = round(BORDER * height), round(BORDER * width)
    warped = F.pad(warped[..., y : height - y, x : width - x], (x, x, y, y))
    return torch.cat((clip.float(), warped, condition), 1).flatten(1, 2)
