"""Faster inference on a CPU, in less memory: the same layers in an order that suits caches.

What a network offers for it is declared in `generators.generator`; here it is applied to a copy of one.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from sr_experiments.generators.generator import Generator, TwoPartGenerator
from sr_experiments.inference.probes import receptive_radius
from sr_experiments.inference.tiles import STRIP, Tile, run_in_tiles, strips

PROBE = (24, 32)  # height and width of the LR image that a network is tried on


def optimised_for_cpu(network: nn.Module, channels: int, scale: int) -> nn.Module:
    """Return an equivalent network that is faster on a CPU; arguments as of `in_strips`. The given one is changed."""
    if isinstance(network, Generator):
        network.optimise_for_cpu()
    return in_strips(network, channels, scale)


class Part(nn.Module):
    """A method of a network as a module: `extract_features(lr)` or `reconstruct(features, lr)`."""

    def __init__(self, network: nn.Module, method: Callable[..., Tensor]) -> None:
        super().__init__()
        self.method_of = network  # so that its parameters are found
        self.method = method

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return what the method returns."""
        return self.method(*inputs)


class TiledNetwork(nn.Module):
    """Runs a network tile by tile, input and output staying on its device.

    The network maps one or several (N, C, H, W) of one height and width to (N, C', scale * H, scale * W); `tiles` plans
    the tiles for an input's height and width.
    """

    def __init__(self, network: Callable[..., Tensor], scale: int, tiles: Callable[[int, int], list[Tile]]) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self.tiles = tiles

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs (N, C, H, W) to (N, C', scale * H, scale * W)."""
        tiles = self.tiles(*inputs[0].shape[-2:])
        return run_in_tiles(self.network, inputs, self.scale, tiles, torch.Tensor.new_empty)


class TiledParts(nn.Module):
    """Runs the two parts of a network tile by tile, see `TiledNetwork`; the features between them are whole."""

    def __init__(
        self,
        extract: Callable[..., Tensor],
        reconstruct: Callable[..., Tensor],
        scale: int,
        tiles: Callable[[int, int], list[Tile]],
    ) -> None:
        super().__init__()
        self.extract_features = TiledNetwork(extract, 1, tiles)
        self.reconstruct = TiledNetwork(reconstruct, scale, tiles)


class StripNetwork(nn.Module):
    """A network in two parts, of which the second is run strip by strip.

    `extract` maps LR (N, C, H, W) to features (N, F, H, W), `reconstruct` maps these and LR to the SR image.
    The channels are C and F; an output row depends on `margin` rows of features beyond its own.
    """

    def __init__(
        self, extract: nn.Module, reconstruct: nn.Module, channels: tuple[int, int], scale: int, margin: int
    ) -> None:
        super().__init__()
        self.extract_features = extract
        self.reconstruct = TiledNetwork(reconstruct, scale, partial(strips, rows=STRIP, margin=margin))
        self.channels = channels
        self.margin = margin

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) to (N, C', scale * H, scale * W)."""
        return self.reconstruct(self.extract_features(lr), lr)


@torch.inference_mode()
def in_strips(network: nn.Module, channels: int, scale: int) -> nn.Module:
    """Return an equivalent network that needs less memory.

    It is a `StripNetwork` if the network is a `TwoPartGenerator` with features of LR size and a bounded receptive field
    in its second part; else the network itself. Of the SR net of a video network, the input has more channels than its
    images.
    """
    if not isinstance(network, TwoPartGenerator):
        return network
    lr = torch.zeros(1, channels, *PROBE)
    extract, reconstruct = Part(network, network.extract_features), Part(network, network.reconstruct)
    features = extract(lr)  # (1, F, H, W)
    if features.shape[-2:] != lr.shape[-2:]:
        return network

    def from_concatenated(both: Tensor) -> Tensor:
        return reconstruct(*both.split((features.shape[1], channels), 1))

    margin = receptive_radius(from_concatenated, features.shape[1] + channels, scale)
    if margin is None:
        return network
    return StripNetwork(extract, reconstruct, (channels, features.shape[1]), scale, margin)
