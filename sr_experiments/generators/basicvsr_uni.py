"""BasicVSR-uni: the forward half of BasicVSR (Chan et al. 2021, arXiv 2012.02181), which needs no later frames."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.fnet import FNET_MULTIPLE
from sr_experiments.generators.generator import TwoPartGenerator
from sr_experiments.generators.initialisation import kaiming_scaled_, zero_mean_
from sr_experiments.generators.msrresnet import ResidualBlock
from sr_experiments.generators.recurrent import Flow, RecurrentGenerator, flow_estimator
from sr_experiments.generators.upsampling import UPSAMPLING
from sr_experiments.generators.warp import warp

MEMORY = 0.5  # by which the kernels on the previous features are smaller: what is handed on for long would grow


@GENERATORS.register("basicvsr_uni", small={"features": 8, "blocks": 1})
class BasicVSRUni(RecurrentGenerator):
    """Propagates features of LR size, where FRVSR propagates the SR frame.

    The features of the previous frame are warped by the flow between the two LR frames and concatenated with the LR
    frame; residual blocks make the features of this frame of them, and a head makes SR of these. The flow net is
    FRVSR's, in the place of SPyNet, or none is needed.

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
    """

    scales = (2, 3, 4)
    srnet: TwoPartGenerator

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
    ) -> None:
        super().__init__(scale, channels, phase)
        self.handed_on = "nothing" if memory == "none" else "features"
        self.extra_channels = features
        self.fnet = flow_estimator(flow, channels) if memory == "warped" else None
        self.size_multiple = FNET_MULTIPLE if memory == "warped" else 1
        self.srnet = PropagationNet(scale, channels, features, blocks, head, phase)

    def first_frame(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve (N, C, H, W) with zeros for the previous features."""
        n, _, height, width = lr.shape
        return self._frame(lr, lr.new_zeros(n, self.extra_channels, height, width))

    def next_frame(self, lr: Tensor, memory: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Super-resolve (N, C, H, W), given the features of the previous frame and the LR flow to it."""
        if self.handed_on == "nothing":
            return self.first_frame(lr)
        return self._frame(lr, memory if self.fnet is None else warp(memory, flow))

    def _frame(self, lr: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat((lr, previous), 1)  # (N, C + F, H, W)
        features = self.srnet.extract_features(inputs)  # (N, F, H, W)
        return self.srnet.reconstruct(features, inputs), features


class PropagationNet(TwoPartGenerator):
    """Residual blocks on an LR frame and the features before it, and a head; layers are named as MSRResNet's.

    The residual branches and the last layer are initialised small, so that SR begins close to the enlarged frame; the
    kernels on the frame have zero mean, as MSRResNet's.
    """

    phase: str

    def __init__(self, scale: int, channels: int, features: int, blocks: int, head: str, phase: str) -> None:
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
