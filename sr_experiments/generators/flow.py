"""Flow matching for super-resolution: a frozen MSE network, and a velocity from its noised output to a real picture.

PMRF (Ohayon et al. 2025, arXiv 2410.00418): the flow starts at the posterior mean, as the MSE network estimates it,
with a little noise on it, for there are fewer means than pictures. Of all ways to pictures as real as HR, the straight
one from the posterior mean has the least MSE.

OFTSR (Zhu et al. 2025, arXiv 2412.09465): the velocity of a trained flow, distilled to one step, whose strength is
chosen when the network is used.

The noise is a function of seed and position. So tiles see the noise of the whole image; and the frames of a video all
have the same noise, which stays where it is while the content moves.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features, FlowSteps, Levels, Share
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.noise import noise_at
from sr_experiments.generators.padding import crop, pad_to_multiple
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.generators.unet import VelocityUNet
from sr_experiments.registry import Component, build

Patch = Annotated[int, Ge(1), Le(16)]
DETAILS = 5  # pixels; what differs from the mean of a square of this side is detail
SMALL: dict[str, Any] = {
    "mse": {"name": "msrresnet", "features": 8, "blocks": 1},
    "features": 8,
    "encoder_blocks": [1],
    "middle_blocks": 1,
    "decoder_blocks": [1],
}


class FlowNetwork(Generator):
    """The networks of a flow; how often the velocity is asked is up to the subclasses.

    Args:
        scale: upsampling factor of the MSE network.
        channels: of the LR and the SR image.
        mse: name and arguments of the MSE network, which is never trained; determined by init_from.
        noise: standard deviation of the noise added to its output, for values in [0, 1].
        patch: side of the squares of pixels that are folded into channels of the velocity network; larger is faster and
            coarser.
        features: channels of the velocity network at full size, doubled at each level; at least channels * patch^2, so
            that it sees all of the noise.
        encoder_blocks: number of blocks at each level of its encoder; each level has half the size of the one before.
        middle_blocks: number of blocks at its smallest size.
        decoder_blocks: number of blocks at each level of its decoder, from the smallest size.

    Attributes:
        mse: the MSE network, frozen, always in eval mode.
        velocity: the velocity network.

    Raises:
        SRError: no MSE network is given, or one that isn't for single images.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        mse: Annotated[Mapping[str, Any] | None, Component(GENERATORS)] = None,
        noise: Share = 0.1,
        patch: Patch = 4,
        features: Features = 64,
        encoder_blocks: Levels = (2,),
        middle_blocks: Blocks = 2,
        decoder_blocks: Levels = (2,),
    ) -> None:
        super().__init__(scale, channels)
        if mse is None:
            raise SRError("a flow starts from the output of an MSE network: give init_from={mse: <run folder>}")
        self.mse = build("MSE network", GENERATORS, mse, scale=scale, channels=channels)
        if isinstance(self.mse, RecurrentGenerator | FlowNetwork):
            raise SRError(f"the MSE network of a flow enlarges single images by itself, {mse['name']} doesn't")
        self.mse.eval().requires_grad_(False)
        self.phase = self.mse.phase
        self.noise = noise
        net = VelocityUNet(channels * patch**2, features, encoder_blocks, middle_blocks, decoder_blocks)
        self.velocity = Velocity(net, patch)
        self.whole_image = net.whole_image or self.mse.whole_image
        self.size_multiple = math.lcm(math.lcm(patch * net.size_multiple, scale) // scale, self.mse.size_multiple)
        self.smallest_size = self.mse.smallest_size

    def train(self, mode: bool = True) -> "FlowNetwork":
        """Set the mode of the velocity network; the MSE network stays in eval mode."""
        super().train(mode)
        self.mse.eval()
        return self

    @torch.no_grad()
    def mean(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) to the MSE network's output in [0, 1], (N, C, scale * H, scale * W)."""
        return self.mse(lr).float().clamp(0, 1)

    def start(self, lr: Tensor, top: int, left: int) -> Tensor:
        """Return where the flow starts: the MSE output with the noise of its position in the whole LR image."""
        mean = self.mean(lr)
        height, width = mean.shape[-2:]
        seed = int(self.sampling["seed"])
        noise = noise_at(seed, self.scale * top, self.scale * left, height, width, self.channels)
        return mean + self.noise * noise.to(mean.device)

    def velocity_at(self, x: Tensor, time: float) -> Tensor:
        """Return the velocity (N, C, H, W) of images (N, C, H, W) at one time in [0, 1]."""
        return self.velocity(x, torch.full((len(x),), time, device=x.device))


class Velocity(nn.Module):
    """The velocity of images of any size, by a network that sees squares of patch * patch pixels as channels.

    Most of a velocity is a multiple of the image's finest details, by the time: at time 0 they are noise, which has to
    go, at time 1 they are what has come. The network learns the rest: without this its error falls much more slowly
    (BSDS, 600 batches of 8: 0.0094 instead of 0.0076).

    Args:
        network: takes images (N, C * patch^2, H / patch, W / patch) and times (N,), and gives the shape of the images.
        patch: side of the squares.
    """

    def __init__(self, network: VelocityUNet, patch: int) -> None:
        super().__init__()
        self.network = network
        self.patch = patch
        self.gain = nn.Linear(network.time_embedding(torch.zeros(1)).shape[1], 1)  # of the details, by the time
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)

    def forward(self, image: Tensor, time: Tensor) -> Tensor:
        """Image (N, C, H, W) at a time (N,) in [0, 1] to its velocity (N, C, H, W)."""
        height, width = image.shape[-2:]
        folded = F.pixel_unshuffle(pad_to_multiple(image, self.patch), self.patch)
        velocity = crop(F.pixel_shuffle(self.network(folded, time), self.patch), height, width).float()
        details = image - F.avg_pool2d(image, DETAILS, 1, DETAILS // 2, count_include_pad=False)
        return velocity + self.gain(self.network.time_embedding(time))[..., None, None].float() * details


@GENERATORS.register("flow", small={**SMALL, "steps": 2})
class Flow(FlowNetwork):
    """A rectified flow from the noised output of an MSE network to a realistic image, in Euler steps (PMRF).

    Args:
        steps: number of Euler steps; 1 gives roughly the MSE output, more give sharper images further from HR.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        mse: Annotated[Mapping[str, Any] | None, Component(GENERATORS)] = None,
        noise: Share = 0.1,
        patch: Patch = 4,
        features: Features = 64,
        encoder_blocks: Levels = (2,),
        middle_blocks: Blocks = 2,
        decoder_blocks: Levels = (2,),
        steps: FlowSteps = 4,
    ) -> None:
        super().__init__(scale, channels, mse, noise, patch, features, encoder_blocks, middle_blocks, decoder_blocks)
        self.sampling = {"steps": steps, "seed": 0}

    def forward(self, lr: Tensor, top: int = 0, left: int = 0, steps: int | None = None) -> Tensor:
        """LR (N, C, H, W) in [0, 1], its upper left corner in the whole LR image, to (N, C, scale * H, scale * W)."""
        count = int(self.sampling["steps"]) if steps is None else steps
        return euler(self.velocity_at, self.start(lr, top, left), count)


@GENERATORS.register("flow_distilled", small={**SMALL, "strength": 0.5})
class DistilledFlow(FlowNetwork):
    """A flow distilled to one step, with a trade-off between the MSE output's fidelity and the flow's realism (OFTSR).

    The velocity network takes the noised MSE output and a time, the strength, and gives the mean velocity of the flow
    from its start to that time. The whole way at this velocity ends, for time 0, at the mean of all pictures that LR
    may be of; for time 1 at the flow's end.

    Args:
        strength: 0 for the fidelity of the MSE output, 1 for the realism of the flow's endpoint.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        mse: Annotated[Mapping[str, Any] | None, Component(GENERATORS)] = None,
        noise: Share = 0.1,
        patch: Patch = 4,
        features: Features = 64,
        encoder_blocks: Levels = (2,),
        middle_blocks: Blocks = 2,
        decoder_blocks: Levels = (2,),
        strength: Share = 1.0,
    ) -> None:
        super().__init__(scale, channels, mse, noise, patch, features, encoder_blocks, middle_blocks, decoder_blocks)
        self.sampling = {"strength": strength, "seed": 0}

    def forward(self, lr: Tensor, top: int = 0, left: int = 0, strength: float | None = None) -> Tensor:
        """LR (N, C, H, W) in [0, 1], its upper left corner in the whole LR image, to (N, C, scale * H, scale * W)."""
        x = self.start(lr, top, left)
        return x + self.velocity_at(x, float(self.sampling["strength"]) if strength is None else strength)


def euler(velocity: Callable[[Tensor, float], Tensor], x: Tensor, steps: int) -> Tensor:
    """Follow a velocity, a function of place and time, from time 0 to 1 in equal Euler steps."""
    for step in range(steps):
        x = x + velocity(x, step / steps) / steps
    return x
