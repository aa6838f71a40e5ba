"""Base class of frame-recurrent video networks, and the state they keep from frame to frame."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sr_experiments.generators.fnet import FNET_MULTIPLE, FNet
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.lucas_kanade import LucasKanade
from sr_experiments.generators.padding import crop, pad_to_multiple
from sr_experiments.generators.upsampling import UPSAMPLING

Flow = Literal["net", "lucas_kanade"]


def flow_estimator(flow: Flow, channels: int) -> nn.Module:
    """Return FRVSR's flow net, or an estimator without weights."""
    return FNet(channels) if flow == "net" else LucasKanade()


class State(NamedTuple):
    """Of the previous frame: LR (N, C, H, W), what it hands on, and its LR flow (N, 2, H, W).

    What is handed on is SR (N, C, scale * H, scale * W) or features (N, F, H, W), see `RecurrentGenerator.handed_on`.
    The flow is None at the first frame of a clip. `ahead` has memory and flow of the frames after it that were looked
    at already.
    """

    lr: Tensor
    memory: Tensor
    flow: Tensor | None = None
    ahead: tuple[tuple[Tensor, Tensor], ...] = ()

    def map(self, function: Callable[[Tensor], Tensor]) -> "State":
        """Apply a function to every tensor."""
        return State(
            function(self.lr),
            function(self.memory),
            None if self.flow is None else function(self.flow),
            tuple((function(memory), function(flow)) for memory, flow in self.ahead),
        )


class Clip(NamedTuple):
    """SR (N, T, C, scale * H, scale * W), and LR flow (N, T - 1, 2, H, W) of frames 1 to T - 1."""

    sr: Tensor
    flow: Tensor


class RecurrentGenerator(Generator):
    """A video generator that computes each SR frame from the LR frame and the state propagated by the previous one.

    A subclass sets the attributes below and defines `first_frame` and `next_frame`. Training calls `forward` and
    `clip_flow`, everything else `step`. Inference on a CPU replaces both networks by faster equivalents.

    With a lookahead, an SR frame also depends on the next LR frames of its shot, so that a stream is behind by as many.
    Whoever calls `step` waits for them.

    Attributes:
        phase: position of the LR pixels; the network upscales frames and flow itself, so it is built for one phase.
        lookahead: number of later LR frames that each SR frame depends on; 0 for a causal network. Others define
            `forward` and `step`, propagate features, and have `srnet.fuse`: features of a frame and of those after it,
            warped to it, (N, (1 + lookahead) * F, H, W), to what is added to the frame's, (N, F, H, W).
        handed_on: what is propagated: the previous SR frame, features of LR size, or nothing (frame by frame).
        extra_channels: channels of what is propagated, once warped and at LR size: (N, extra_channels, H, W).
        fnet: flow network, current and previous LR frame (N, 2 * C, H, W) to flow (N, 2, H, W); H and W multiples of
            `size_multiple`; or `LucasKanade`. None: no warping, and the flow is zero everywhere.
        srnet: SR network, LR frame and extra channels (N, C + extra_channels, H, W) to SR (N, C, scale * H, scale * W).
            A network that propagates features calls its parts, as a `TwoPartGenerator`.
    """

    of_clips = True
    lookahead: int = 0
    phase: str
    handed_on: Literal["sr", "features", "nothing"]
    extra_channels: int
    fnet: nn.Module | None
    srnet: nn.Module

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks that can be trained, by name: `fnet`, where it has weights, and `srnet`."""
        learns = self.fnet is not None and any(True for _ in self.fnet.parameters())
        return {**({"fnet": self.fnet} if learns and self.fnet else {}), "srnet": self.srnet}

    def first_frame(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Return SR and memory of (N, C, H, W) without a previous frame: as `next_frame` with a memory of zeros."""
        raise NotImplementedError

    def next_frame(self, lr: Tensor, memory: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Return SR and memory of (N, C, H, W), given the memory of the previous frame and the LR flow to it."""
        raise NotImplementedError

    def flow(self, lr: Tensor, lr_previous: Tensor) -> Tensor:
        """Estimate LR flow (N, 2, H, W) from frames `lr` to previous or later ones, both (N, C, H, W) of any size.

        Frames are padded by their edge pixels to multiples of 8, and the flow is cropped.
        """
        if self.fnet is None:
            return torch.zeros_like(lr[:, :1]).expand(-1, 2, -1, -1)
        height, width = lr.shape[-2:]
        pair = pad_to_multiple(torch.cat((lr, lr_previous), 1), FNET_MULTIPLE)  # (N, 2 * C, H, W), padded
        return crop(self.fnet(pair), height, width)

    def enlarge(self, image: Tensor) -> Tensor:
        """Interpolate (N, C, H, W) to (N, C, scale * H, scale * W) in the network's phase."""
        return UPSAMPLING[self.phase](image, self.scale)

    def forward(self, clip: Tensor) -> Clip:
        """Super-resolve whole clips, LR (N, T, C, H, W) in [0, 1] of any H and W, for training."""
        flow = self.clip_flow(clip)
        sr, memory = self.first_frame(clip[:, 0])
        frames = [sr]
        for t in range(1, clip.shape[1]):
            sr, memory = self.next_frame(clip[:, t], memory, flow[:, t - 1])
            frames.append(sr)
        return Clip(torch.stack(frames, 1), flow)

    def step(self, lr: Tensor, state: State | None, *later: Tensor) -> tuple[Tensor, State]:
        """Super-resolve the next frame of a stream, (N, C, H, W) in [0, 1]; also return the state for the next call.

        The state is that of the previous frame; None at the start and after a scene cut. A network with a lookahead
        needs the frames after this one, `lookahead` of them or, at the end of a shot, those that there are.
        """
        if state is None:
            sr, memory = self.first_frame(lr)
            return sr, State(lr, memory)
        flow = self.flow(lr, state.lr)
        sr, memory = self.next_frame(lr, state.memory, flow)
        return sr, State(lr, memory, flow)

    def clip_flow(self, clip: Tensor, distance: int = -1) -> Tensor:
        """Estimate LR flow (N, T - abs(distance), 2, H, W) of frames of clips (N, T, C, H, W) to earlier or later ones.

        By default, of frames 1 to T - 1 to those before; with distance 1, of frames 0 to T - 2 to those after.
        """
        length = clip.shape[1] - abs(distance)
        if length <= 0:
            return clip[:, :0, :2]  # empty: (N, 0, 2, H, W)
        later, earlier = clip[:, -length:].flatten(0, 1), clip[:, :length].flatten(0, 1)
        # All pairs of frames in one batch: (N * length, C, H, W) each.
        flow = self.flow(later, earlier) if distance < 0 else self.flow(earlier, later)
        return flow.unflatten(0, (-1, length))
