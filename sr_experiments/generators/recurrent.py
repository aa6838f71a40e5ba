"""Base class of frame-recurrent video networks, and the state they keep from frame to frame."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sr_experiments.generators.generator import Generator


class State(NamedTuple):
    """The previous frame: LR (N, C, H, W), SR (N, C, scale * H, scale * W), and LR flow (N, 2, H, W).

    The flow is None at the first frame of a clip.
    """

    lr: Tensor
    sr: Tensor
    flow: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "State":
        """Apply a function to every tensor."""
        return State(function(self.lr), function(self.sr), None if self.flow is None else function(self.flow))


class Clip(NamedTuple):
    """SR (N, T, C, scale * H, scale * W), and LR flow (N, T - 1, 2, H, W) of frames 1 to T - 1."""

    sr: Tensor
    flow: Tensor


class RecurrentGenerator(Generator):
    """A generator for video that makes each SR frame from the LR frame and the previous SR frame.

    A subclass sets the two networks and defines `flow`, `first_frame`, `next_frame` and `enlarge`. Training calls
    `forward` and `clip_flow`, everything else `step`. Inference on a CPU replaces the two networks, each by a
    faster equivalent; the SR net may be a `TwoPartGenerator`.

    Attributes:
        phase: the network enlarges frames and flow itself, so it is made for one phase.
        fnet: flow net, current and previous LR frame (N, 2 * C, H, W) to flow (N, 2, H, W); H and W multiples of
            `size_multiple`.
        srnet: SR net, LR frame and scale^2 * C further channels of the previous frame, (N, (1 + scale^2) * C, H, W), to
            SR (N, C, scale * H, scale * W).
    """

    phase: str
    fnet: nn.Module
    srnet: nn.Module

    def flow(self, lr: Tensor, lr_previous: Tensor) -> Tensor:
        """Estimate LR flow (N, 2, H, W) from frames `lr` to the previous ones, both (N, C, H, W) of any size."""
        raise NotImplementedError

    def first_frame(self, lr: Tensor) -> Tensor:
        """Super-resolve (N, C, H, W) without a previous frame: the same as `next_frame` with zeros for it."""
        raise NotImplementedError

    def next_frame(self, lr: Tensor, sr_previous: Tensor, flow: Tensor) -> Tensor:
        """Super-resolve (N, C, H, W), given the previous SR frame and the LR flow to it."""
        raise NotImplementedError

    def enlarge(self, image: Tensor) -> Tensor:
        """Interpolate (N, C, H, W) to (N, C, scale * H, scale * W), without a network."""
        raise NotImplementedError

    def forward(self, clip: Tensor) -> Clip:
        """Super-resolve whole clips, LR (N, T, C, H, W) in [0, 1] of any H and W, for training."""
        flow = self.clip_flow(clip)
        frames = [self.first_frame(clip[:, 0])]
        for t in range(1, clip.shape[1]):
            frames.append(self.next_frame(clip[:, t], frames[-1], flow[:, t - 1]))
        return Clip(torch.stack(frames, 1), flow)

    def step(self, lr: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Super-resolve the next frame of a stream, (N, C, H, W) in [0, 1]; also return the state for the next call.

        The state is that of the previous frame; None at the start and after a scene cut.
        """
        if state is None:
            sr = self.first_frame(lr)
            return sr, State(lr, sr)
        flow = self.flow(lr, state.lr)
        sr = self.next_frame(lr, state.sr, flow)
        return sr, State(lr, sr, flow)

    def clip_flow(self, clip: Tensor) -> Tensor:
        """Estimate LR flow (N, T - 1, 2, H, W) of frames 1 to T - 1 of clips (N, T, C, H, W)."""
        length = clip.shape[1]
        if length == 1:
            return clip[:, 1:, :2]  # empty: (N, 0, 2, H, W)
        # All pairs of frames in one batch: (N * (T - 1), C, H, W) each.
        return self.flow(clip[:, 1:].flatten(0, 1), clip[:, :-1].flatten(0, 1)).unflatten(0, (-1, length - 1))
