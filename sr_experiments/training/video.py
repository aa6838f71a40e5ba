"""Staged training of frame-recurrent networks (Sajjadi et al. 2018), the last stage as a GAN if wished (TecoGAN)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.run_kind import makes_sr
from sr_experiments.generators.frvsr import warp
from sr_experiments.losses.adversarial import AdversarialLoss
from sr_experiments.training.adversary import discriminator_loss, generator_term
from sr_experiments.training.module import SRModule
from sr_experiments.training.schedules import ramp
from sr_experiments.training.stages import Stage, Stages

BORDER = 0.125  # share of each side of the warped frames that the discriminator doesn't see (TecoGAN: 128 to 96)


class FRVSRModule(SRModule):
    """Train an FRVSR generator through stages; see `Stage` for what one is.

    What trains and what is frozen follows from the step, at every step. The terms of the loss, on clips of T
    frames:

    - pixel: between SR and HR frames;
    - warp: between each LR frame and the one before it, warped by the flow net's flow;
    - ping_pong: the clip is run to its end and back again, T to 2 * T - 1 frames; SR frames of the way there
      and back must agree (Chu et al. 2020, arXiv 1811.09393, section 3.2);
    - perceptual: between SR and HR frames;
    - adversarial: the discriminator judges three frames at once, see `spatio_temporal`.

    Args:
        stages: in their order.
        pixel: loss of the pixel, warp and ping_pong terms.
        perceptual: loss of (sr, hr) on a pretrained network's features, or None to do without.
        adversarial: loss on logits, or None if no stage is a GAN.
        discriminator: (N, 9 * C, H, W) to logits, likewise.
        warmup_steps: steps of a GAN stage without the perceptual and adversarial terms.
        ramp_steps: steps over which the adversarial weight then rises to full.
        ramp_shape: "linear" or "cosine".
        **base: arguments of `SRModule`.
    """

    def __init__(
        self,
        stages: Stages,
        pixel: nn.Module,
        perceptual: nn.Module | None = None,
        adversarial: AdversarialLoss | None = None,
        discriminator: nn.Module | None = None,
        warmup_steps: int = 0,
        ramp_steps: int = 0,
        ramp_shape: str = "linear",
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.stages = stages
        self.stage_ends = {
            end: f"{i}_{s.name}" for i, (s, end) in enumerate(zip(stages.stages, stages.ends, strict=True), 1)
        }
        self.pixel = pixel
        self.perceptual = perceptual
        self.adversarial = adversarial
        self.discriminator = discriminator
        self.ramp = ramp(ramp_shape, warmup_steps, ramp_steps)
        self.steps_to_full_gan = warmup_steps + ramp_steps

    def networks(self) -> dict[str, nn.Module]:
        """Flow net, SR net and, in a GAN run, discriminator."""
        networks: dict[str, nn.Module] = {"fnet": self.generator.fnet, "srnet": self.generator.srnet}  # type: ignore[dict-item]
        return networks if self.discriminator is None else {**networks, "discriminator": self.discriminator}

    def learning_rate(self, network: str, step: int) -> float:
        """By the stage: its share of the base rate, on its own schedule."""
        stage = self.stages.at(step)
        factor = stage.schedule(step - stage.start)
        if network == "discriminator":
            return factor * self.optim.discriminator_learning_rate if "adversarial" in stage.losses else 0.0
        return factor * self.optim.learning_rate * stage.trains.get(network, 0.0)

    def stage_start(self, step: int) -> int:
        """First step of the stage that a step belongs to."""
        return self.stages.at(step).start

    def makes_sr(self, step: int) -> bool:
        """Not in a stage that trains the flow net alone, by the warp loss."""
        stage = self.stages.at(step)
        return makes_sr(stage.trains, stage.losses)

    def eligible_as_best(self) -> bool:
        """Only in the last stage and, in a GAN, once the adversarial loss has its full weight."""
        last = self.stages.stages[-1]
        begin = last.start + (self.steps_to_full_gan if "adversarial" in last.losses else 0)
        return self.step > begin

    def train_batch(self, lr: Tensor, hr: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One update of what the stage trains."""
        stage = self.stages.at(self.step)
        self._freeze(stage)
        lr, hr, target = (x.unflatten(0, (-1, stage.clip_length)) for x in (lr, hr, target))  # (N, T, C, H, W)
        if "ping_pong" in stage.losses:
            lr, hr, target = (torch.cat((clip, clip[:, :-1].flip(1)), 1) for clip in (lr, hr, target))
        if self.makes_sr(self.step):
            sr, flow = self.generator(lr)
        else:
            sr, flow = hr, self.generator.clip_flow(lr)  # type: ignore[operator]
        gan = self.ramp(self.step - stage.start) if "adversarial" in stage.losses else 0.0
        terms = self._terms(stage, lr, target, sr, flow, gan)
        shown = self._shown_to_discriminator(lr, hr, sr) if gan > 0 else None
        if shown is not None:
            terms["adversarial"] = self._adversarial_term(*shown)
        weighted = {name: stage.losses[name] * term for name, term in terms.items()}
        if "adversarial" in weighted:
            weighted["adversarial"] = gan * weighted["adversarial"]
        total = torch.stack([term.float() for term in weighted.values()]).sum()
        scalars = {f"loss/{name}": term.detach() for name, term in terms.items()}
        scalars |= {f"loss_weighted/{name}": term.detach() for name, term in weighted.items()}
        scalars["loss/generator"] = total.detach()
        scalars["stage"] = torch.tensor(float(self.stages.number(self.step)), device=total.device)
        scalars |= self.update(total, *stage.trains)
        if shown is not None:
            scalars |= self._train_discriminator(stage, *shown)
        return scalars

    def _freeze(self, stage: Stage) -> None:
        for name in ("fnet", "srnet"):
            network, trains = self.networks()[name], name in stage.trains
            network.requires_grad_(trains).train(trains)

    def _terms(
        self, stage: Stage, lr: Tensor, target: Tensor, sr: Tensor, flow: Tensor, gan: float
    ) -> dict[str, Tensor]:
        terms = {}
        if "pixel" in stage.losses:
            terms["pixel"] = self.pixel(sr.flatten(0, 1), target.flatten(0, 1))
        if "warp" in stage.losses:
            warped = warp(lr[:, :-1].flatten(0, 1), flow.flatten(0, 1))
            terms["warp"] = self.pixel(warped, lr[:, 1:].flatten(0, 1))
        if "ping_pong" in stage.losses:
            there, back = sr[:, : stage.clip_length - 1], sr[:, stage.clip_length :].flip(1)
            terms["ping_pong"] = self.pixel(there.flatten(0, 1), back.flatten(0, 1))
        if "perceptual" in stage.losses and self.perceptual is not None and gan > 0:
            terms["perceptual"] = self.perceptual(sr.flatten(0, 1), target.flatten(0, 1))
        return terms

    # -- the game ----------------------------------------------------------------------------------------

    def _shown_to_discriminator(self, lr: Tensor, hr: Tensor, sr: Tensor) -> tuple[Tensor, Tensor]:
        """(N * T // 3, 9 * C, H, W) of the SR clip, with gradients, and of the HR clip."""
        lr, hr, sr = (clip[:, : clip.shape[1] // 3 * 3].reshape(-1, 3, *clip.shape[2:]) for clip in (lr, hr, sr))
        with torch.no_grad():
            before, after = (self.generator.flow(lr[:, 1], lr[:, i]) for i in (0, 2))  # type: ignore[operator]
            flows = [self.generator.scale * self.generator.enlarge(flow) for flow in (before, after)]  # type: ignore[operator]
            condition = self.generator.enlarge(lr.flatten(0, 1)).unflatten(0, (-1, 3))  # type: ignore[operator]
        fake, real = (spatio_temporal(clip, condition, *flows) for clip in (sr, hr))
        return fake.contiguous(memory_format=self.memory_format), real.contiguous(memory_format=self.memory_format)

    def _adversarial_term(self, fake: Tensor, real: Tensor) -> Tensor:
        assert self.discriminator is not None and self.adversarial is not None
        self.discriminator.requires_grad_(False)
        return generator_term(self.adversarial, self.discriminator, fake, real)

    def _train_discriminator(self, stage: Stage, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        assert self.discriminator is not None and self.adversarial is not None
        self.discriminator.requires_grad_(True)
        loss, scalars = discriminator_loss(self.adversarial, self.discriminator, fake.detach(), real)
        margin = torch.as_tensor(self.all_gather(scalars["gan/log_margin"])).mean()  # all processes decide alike
        learns = stage.update_margin is None or bool(margin < stage.update_margin)
        if learns:
            scalars |= self.update(loss, "discriminator")
        scalars["gan/d_updates"] = torch.tensor(float(learns), device=loss.device)
        return scalars


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
