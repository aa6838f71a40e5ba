"""BasicVSR-uni: the forward half of BasicVSR (Chan et al. 2021, arXiv 2012.02181), which needs no later frames."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.fnet import FNET_MULTIPLE
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_
from sr_experiments.generators.msrresnet import ResidualBlock
from sr_experiments.generators.recurrent import Clip, Flow, RecurrentGenerator, State, flow_estimator
from sr_experiments.generators.upsampling import UPSAMPLING
from sr_experiments.generators.warp import warp

MEMORY = 0.5  # by which the kernels on the previous features are smaller: what is handed on for long would grow


@GENERATORS.register("basicvsr_uni", small={"features": 8, "blocks": 1})
class BasicVSRUni(RecurrentGenerator):
    """Propagates features of LR size, where FRVSR propagates the SR frame.

    The features of the previous frame are warped by the flow between the two LR frames and concatenated with the LR
    frame; residual blocks make the features of this frame of them, and a head makes SR of these. The flow net is
    FRVSR's, in the place of SPyNet, or none is needed.

    With a lookahead, the features of the next frames, which were propagated through this one, are warped back to it,
    and two convolutions add to its features what they know better. That is the backward half of BasicVSR cut short,
    without blocks of its own. At the end of a clip the last frame stands for those that are missing.

    Args:
        scale: 2, 3 or 4.
        features: channels of the propagated features and of the hidden layers.
        blocks: number of residual blocks.
        head: layers from features to SR: "direct", one convolution and a pixel shuffle; or "steps", as in BasicVSR:
            pixel shuffles by 2 and a convolution at full size, with twice the operations.
        memory: how the previous features are aligned with this frame: "warped" by the flow; "unwarped", without a flow
            network; or "none", frame by frame without recurrence, for comparison.
        flow: "net", FRVSR's flow network, which has to be trained; or "lucas_kanade", see `FRVSR`.
        phase: see `FRVSR`.
        lookahead: number of later frames that each frame is made from besides the earlier ones; the output of a stream
            is behind its input by as many frames.

    Raises:
        SRError: a lookahead without recurrence.
    """

    scales = (2, 3, 4)
    srnet: "PropagationNet"

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 64,
        blocks: Blocks = 15,
        head: Literal["direct", "steps"] = "direct",
        memory: Literal["warped", "unwarped", "none"] = "warped",
        flow: Flow = "net",
        phase: Literal["auto", "centred", "corner"] = "centred",
        lookahead: Annotated[int, Ge(0), Le(8)] = 0,
    ) -> None:
        super().__init__(scale, channels, phase)
        if lookahead and memory == "none":
            raise SRError(f"model.lookahead={lookahead} needs model.memory=warped or unwarped: set one, or lookahead=0")
        self.lookahead = lookahead
        self.handed_on = "nothing" if memory == "none" else "features"
        self.extra_channels = features
        self.fnet = flow_estimator(flow, channels) if memory == "warped" else None
        self.size_multiple = FNET_MULTIPLE if memory == "warped" else 1
        self.srnet = PropagationNet(scale, channels, features, blocks, head, phase, lookahead)

    def first_frame(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve (N, C, H, W) with zeros for the previous features."""
        inputs, features = self._propagated(lr)
        return self._reconstructed(inputs, features), features

    def next_frame(self, lr: Tensor, memory: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve (N, C, H, W), given the features of the previous frame and the LR flow to it."""
        if self.handed_on == "nothing":
            return self.first_frame(lr)
        inputs, features = self._propagated(lr, self._aligned(memory, flow))
        return self._reconstructed(inputs, features), features

    def forward(self, clip: Tensor) -> Clip:
        """Super-resolve whole clips, LR (N, T, C, H, W) in [0, 1] of any H and W, for training."""
        if not self.lookahead:
            return super().forward(clip)
        flow, frames = self.clip_flow(clip), clip.unbind(1)
        made = [self._propagated(frames[0])]
        for t, lr in enumerate(frames[1:], 1):
            made.append(self._propagated(lr, self._aligned(made[-1][1], flow[:, t - 1])))
        ahead = [self.clip_flow(clip, distance) for distance in range(1, self.lookahead + 1)]
        sr = []
        for t, (inputs, features) in enumerate(made):
            later = [
                self._aligned(following, flows[:, t])
                for (_, following), flows in zip(made[t + 1 :], ahead, strict=False)
            ]
            sr.append(self._reconstructed(inputs, features, later))
        return Clip(torch.stack(sr, 1), flow)

    def step(self, lr: Tensor, state: State | None, *later: Tensor) -> tuple[Tensor, State]:
        """See `RecurrentGenerator.step`."""
        if not self.lookahead:
            return super().step(lr, state)
        frames = (lr, *later[: self.lookahead])
        before = None if state is None else (state.lr, state.memory)
        known = [] if state is None else list(state.ahead[: len(frames)])  # features and flow of the first frames
        for number, frame in enumerate(frames):
            if number == len(known):
                flow = lr.new_zeros(0) if before is None else self.flow(frame, before[0])
                previous = None if before is None else self._aligned(before[1], flow)
                known.append((self._propagated(frame, previous)[1], flow))
            before = frame, known[number][0]
        (features, flow), *ahead = known
        aligned = [
            self._aligned(following, self.flow(lr, frame))
            for frame, (following, _) in zip(frames[1:], ahead, strict=True)
        ]
        inputs = torch.cat((lr, features), 1)  # of which only LR is needed
        sr = self._reconstructed(inputs, features, aligned)
        return sr, State(lr, features, None if state is None else flow, tuple(ahead))

    def _aligned(self, features: Tensor, flow: Tensor) -> Tensor:
        return features if self.fnet is None else warp(features, flow)

    def _propagated(self, lr: Tensor, previous: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the inputs of the SR net (N, C + F, H, W) for a frame and aligned features, and its features."""
        if previous is None:
            n, _, height, width = lr.shape
            previous = lr.new_zeros(n, self.extra_channels, height, width)
        inputs = torch.cat((lr, previous), 1)
        return inputs, self.srnet.extract_features(inputs)

    def _reconstructed(self, inputs: Tensor, features: Tensor, later: Sequence[Tensor] = ()) -> Tensor:
        """Return SR of a frame, given the aligned features of later ones, each (N, F, H, W)."""
        if self.lookahead:
            last = (features, *later)[-1]
            together = torch.cat((features, *later, *(self.lookahead - len(later)) * [last]), 1)
            features = features + self.srnet.fuse(together)
        return self.srnet.reconstruct(features, inputs)


class PropagationNet(TwoPartGenerator):
    """Residual blocks on an LR frame and the features before it, and a head; layers are named as MSRResNet's.

    The residual branches and the last layer are initialised small, so that SR begins close to the enlarged frame; the
    kernels on the frame have zero mean, as MSRResNet's.
    """

    phase: str

    def __init__(
        self, scale: int, channels: int, features: int, blocks: int, head: str, phase: str, lookahead: int
    ) -> None:
        super().__init__(scale, channels, phase)
        self.conv_first = nn.Conv2d(channels + features, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.steps = (2,) * (scale // 2) if scale != 3 else (3,)
        self.conv_hr = None
        if head == "direct":
            self.conv_last = nn.Conv2d(features, channels * scale**2, 3, padding=1)
        else:
            for number, step in enumerate(self.steps, 1):
                self.add_module(f"upconv{number}", nn.Conv2d(features, features * step**2, 3, padding=1))
            self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
            self.conv_last = nn.Conv2d(features, channels, 3, padding=1)
        kaiming_scaled_(self)
        kaiming_scaled_(self.body, 0.1)
        kaiming_scaled_(self.conv_last, 0.01)
        with torch.no_grad():
            of_frame, of_memory = self.conv_first.weight.split((channels, features), 1)
            nn.init.kaiming_normal_(of_frame)  # not as one of many inputs
            zero_mean_(of_frame)
            of_memory.mul_(MEMORY)
        self.fuse = _fusion(features, lookahead) if lookahead else nn.Identity()

    def extract_features(self, lr: Tensor) -> Tensor:
        """First part: LR and previous features (N, C + F, H, W) to features (N, F, H, W)."""
        return self.body(F.leaky_relu(self.conv_first(lr), 0.1))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Second part: (N, F, H, W), and the input, to (N, C, scale * H, scale * W)."""
        base = UPSAMPLING[self.phase](lr[:, : self.channels], self.scale)
        if self.conv_hr is None:
            return base + F.pixel_shuffle(self.conv_last(features), self.scale)
        for number, step in enumerate(self.steps, 1):
            features = F.leaky_relu(F.pixel_shuffle(self.get_submodule(f"upconv{number}")(features), step), 0.1)
        return base + self.conv_last(F.leaky_relu(self.conv_hr(features), 0.1))


def _fusion(features: int, lookahead: int) -> nn.Sequential:
    """Return what makes a residual of features, (N, F, H, W), of them and those of later frames."""
    hidden = max(features // 2, 1)
    fusion = nn.Sequential(
        nn.Conv2d((1 + lookahead) * features, hidden, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(hidden, features, 3, padding=1),
    )
    kaiming_scaled_(fusion)
    kaiming_scaled_(fusion[2], 0.1)
    return fusion
