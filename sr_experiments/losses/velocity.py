"""Losses of flow matching: a network's velocity between two images, and the one that it should have."""

from torch import Tensor, nn

from sr_experiments.losses import LOSSES


@LOSSES.register("velocity")
class VelocityLoss(nn.Module):
    """Mean squared error of the velocity.

    With loss=flow the velocity of a rectified flow from the noised MSE output to HR (Liu et al. 2022, arXiv 2209.03003;
    PMRF, Ohayon et al. 2025, arXiv 2410.00418, section 3.2). With loss=flow_distilled the student's mean velocity up to
    a time, which moves by what the teacher says at the student's own point of that time (OFTSR, Zhu et al. 2025,
    arXiv 2412.09465).
    """

    inputs = ("velocity", "velocity_target")

    def forward(self, velocity: Tensor, velocity_target: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        return (velocity - velocity_target).square().mean()


@LOSSES.register("boundary")
class BoundaryLoss(nn.Module):
    """Mean squared error of the student's velocity at time 0, which is the teacher's (OFTSR, arXiv 2412.09465)."""

    inputs = ("first_velocity", "first_velocity_target")

    def forward(self, first_velocity: Tensor, first_velocity_target: Tensor) -> Tensor:
        """(N, C, H, W) twice to a scalar."""
        return (first_velocity - first_velocity_target).square().mean()
