"""A network made fast on a CPU, and small: the same layers in an order that suits caches.

The plain networks in `generators` stay as they are; what is here wraps a copy of one.
"""

from functools import partial

import torch
from torch import Tensor, nn

from sr_experiments.generators.rrdbnet import ResidualDenseBlock
from sr_experiments.inference.tiles import TiledNetwork, receptive_radius, strips

STRIP = 40  # rows of LR pixels that are enlarged at a time
PROBE = (24, 32)  # LR size that a network is tried on


def accelerated(network: nn.Module, channels: int, scale: int) -> nn.Module:
    """A network made fast on the CPU; its own modules are changed. For the arguments see `in_strips`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ResidualDenseBlock):
                setattr(module, name, DenseBlockInPlace(child))
    return in_strips(network, channels, scale)


class DenseBlockInPlace(nn.Module):
    """A `ResidualDenseBlock` whose layers write side by side into one tensor: nothing is concatenated.

    Under autocast the sums between blocks stay in float32: of many blocks, bf16 would round each.
    """

    def __init__(self, block: ResidualDenseBlock) -> None:
        super().__init__()
        self.first = nn.ModuleList((block.conv1, block.conv2, block.conv3, block.conv4))
        self.last = block.conv5
        self.lrelu = block.lrelu

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same, in float32."""
        kind = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        n, used, height, width = x.shape
        dense = torch.empty(
            (n, self.last.in_channels, height, width), dtype=kind, device=x.device, memory_format=torch.channels_last
        )
        dense[:, :used] = x
        for layer in self.first:
            new = self.lrelu(layer(dense[:, :used]))
            dense[:, used : used + new.shape[1]] = new
            used += new.shape[1]
        return torch.add(x.float(), self.last(dense), alpha=0.2)


class Part(nn.Module):
    """One of a network's methods, as a module: `extract_features(lr)` or `reconstruct(features, lr)`."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the method gives."""
        return getattr(self.network, self.method)(*inputs)


class Parts(nn.Module):
    """A network in its two parts, of which the second is run strip by strip.

    Args:
        extract: LR (N, C, H, W) to features (N, F, H, W).
        reconstruct: features and LR to (N, C', scale * H, scale * W).
        channels: C and F.
        scale: upsampling factor.
        margin: rows of features beyond its own that an output row depends on.
    """

    def __init__(
        self, extract: nn.Module, reconstruct: nn.Module, channels: tuple[int, int], scale: int, margin: int
    ) -> None:
        super().__init__()
        self.extract = extract
        self.enlarge = TiledNetwork(reconstruct, scale, partial(strips, rows=STRIP, margin=margin))
        self.channels = channels

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) to (N, C', scale * H, scale * W)."""
        return self.enlarge(self.extract(lr), lr)


@torch.inference_mode()
def in_strips(network: nn.Module, channels: int, scale: int) -> nn.Module:
    """A network that needs less memory, the same numbers coming out.

    Args:
        network: LR (N, C, H, W) to (N, C', scale * H, scale * W). Where it has `extract_features(lr)` and
            `reconstruct(features, lr)`, the second is run strip by strip: tensors of HR size with all channels
            would neither stay in caches nor fit into small machines.
        channels: C.
        scale: upsampling factor.

    Returns:
        `Parts`, or the network itself where it has none, or the second sees all rows.
    """
    if not hasattr(network, "reconstruct"):
        return network
    lr = torch.zeros(1, channels, *PROBE)
    extract, reconstruct = Part(network, "extract_features"), Part(network, "reconstruct")
    features = extract(lr)
    if features.shape[-2:] != lr.shape[-2:]:
        return network

    def of_both(both: Tensor) -> Tensor:
        return reconstruct(*both.split((features.shape[1], channels), 1))

    margin = receptive_radius(of_both, features.shape[1] + channels, scale)
    if margin is None:
        return network
    return Parts(extract, reconstruct, (channels, features.shape[1]), scale, margin)
