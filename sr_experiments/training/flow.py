"""Flow matching from a frozen network's output (PMRF), and distillation of a flow to one step (OFTSR)."""

from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.generators.flow import FlowNetwork
from sr_experiments.losses.objective import IMAGES, VELOCITIES, Outputs
from sr_experiments.training.ema import ema_copy
from sr_experiments.training.module import SRModule

TEACHER_STEP = 0.05  # time by which the student looks ahead (OFTSR's configuration)


class FlowModule(SRModule):
    """Train the velocity of a rectified flow from the noised MSE output to HR; arguments as of `SRModule`.

    The images of a batch have their times in equal parts of [0, 1], each at random within its part, as in PMRF's code.
    SR, for terms that compare it, is where the velocity at that time leads.
    """

    loss_inputs: tuple[str, ...] = (*IMAGES, *VELOCITIES[:2])
    generator: FlowNetwork

    def networks(self) -> dict[str, nn.Module]:
        """The velocity network, as `generator`: the MSE network never learns."""
        return {"generator": self.generator.velocity, **self.discriminators()}

    def super_resolve(self, lr: Tensor, hr: Tensor, target: Tensor) -> Outputs:
        """Estimate the velocity at a random point of the way of each image, (N, C, H, W)."""
        start = self.random_start(lr)
        time = (torch.arange(len(lr), device=lr.device) + torch.rand(len(lr), device=lr.device)) / len(lr)
        t = time[:, None, None, None]
        x = (1 - t) * start + t * target
        velocity = self.generator.velocity(x, time)
        velocities = {"velocity": velocity, "velocity_target": target - start}
        return Outputs(lr, hr, target, x + (1 - t) * velocity, velocities=velocities)

    def random_start(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) to the MSE output with noise drawn for this step, (N, C, scale * H, scale * W)."""
        mean = self.generator.mean(lr)
        return mean + self.generator.noise * torch.randn_like(mean)


class DistillationModule(FlowModule):
    """Distil a flow to one step; arguments as of `SRModule`, with the teacher's weights in the generator.

    The student's velocity u(x0, t) is to be the mean of the teacher's velocity v along its way from x0, over the times
    up to t. So t * u(x0, t) is how far the way has led, and at s, a little later, it is further by the teacher's
    velocity: s * u(x0, s) = t * u(x0, t) + (s - t) * v(x0 + t * u(x0, t), t), with v taken at the midpoint of the step
    (OFTSR, arXiv 2412.09465, without its alignment term, which has a weight of 0.01 there).
    """

    loss_inputs = (*IMAGES, *VELOCITIES)

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.teacher = ema_copy(self.generator.velocity)  # in checkpoints, so that a resumed run has it

    def super_resolve(self, lr: Tensor, hr: Tensor, target: Tensor) -> Outputs:
        """Estimate the student's velocities of each image, and what they should be, (N, C, H, W)."""
        start = self.random_start(lr)
        time = (1 - TEACHER_STEP) * torch.rand(len(lr), device=lr.device)
        later, zero = time + TEACHER_STEP, torch.zeros_like(time)
        t, s = (of[:, None, None, None] for of in (time, later))
        with torch.no_grad():
            mean = self.generator.velocity(start, time)
            x = start + t * mean
            halfway = x + TEACHER_STEP / 2 * self.teacher(x, time)
            now = self.teacher(halfway, time + TEACHER_STEP / 2)
            velocities = {
                "velocity_target": mean + TEACHER_STEP / s * (now - mean),
                "first_velocity_target": self.teacher(start, zero),
            }
        velocities["velocity"] = self.generator.velocity(start, later)
        velocities["first_velocity"] = self.generator.velocity(start, zero)
        return Outputs(lr, hr, target, start + velocities["velocity"], velocities=velocities)
