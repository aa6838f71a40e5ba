"""A network made fast on a CPU, and small: the same layers in an order that suits caches.

The plain networks in `generators` stay as they are; what is here wraps a copy of one. OpenVINO and ONNX Runtime are
no faster than this (`benchmarks/inference.py`): nine tenths of the time goes into convolutions at the processor's
peak.
"""

from functools import partial

import torch
from torch import Tensor, nn

from sr_experiments.generators.rrdbnet import ResidualDenseBlock
from sr_experiments.inference.tiles import TiledNetwork, receptive_radius, strips

STRIP = 64  # rows of LR pixels that are enlarged at a time
PROBE = (24, 32)  # LR size that a network is tried on


def accelerated(network: nn.Module, channels: int, scale: int) -> nn.Module:
    """A network made fast on the CPU; its own modules are changed.

    Args:
        network: LR (N, C, H, W) to (N, C', scale * H, scale * W). Where it has `extract_features(lr)` and
            `reconstruct(features, lr)`, the second is run strip by strip: tensors of HR size with all channels
            would neither stay in caches nor fit into small machines.
        channels: C.
        scale: upsampling factor.
    """
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ResidualDenseBlock):
                setattr(module, name, DenseBlockInPlace(child))
    return _in_strips(network, channels, scale)


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


class Parts(nn.Module):
    """A network in its two parts, of which the second is run strip by strip.

    Args:
        network: with `extract_features(lr)` and `reconstruct(features, lr)`.
        scale: upsampling factor.
        margin: rows of features beyond its own that an output row depends on.
    """

    def __init__(self, network: nn.Module, scale: int, margin: int) -> None:
        super().__init__()
        self.network = network
        self.enlarge = TiledNetwork(network.reconstruct, scale, partial(strips, rows=STRIP, margin=margin))  # type: ignore[arg-type]

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) to (N, C', scale * H, scale * W)."""
        return self.enlarge(self.network.extract_features(lr), lr)  # type: ignore[operator]


@torch.inference_mode()
def _in_strips(network: nn.Module, channels: int, scale: int) -> nn.Module:
    if not hasattr(network, "reconstruct"):
        return network
    lr = torch.zeros(1, channels, *PROBE)
    features = network.extract_features(lr)  # type: ignore[operator]
    if features.shape[-2:] != lr.shape[-2:]:
        return network

    def reconstruct(both: Tensor) -> Tensor:
        inside, outside = both.split((features.shape[1], channels), 1)
        return network.reconstruct(inside, outside)  # type: ignore[operator]

    margin = receptive_radius(reconstruct, features.shape[1] + channels, scale)
    return network if margin is None else Parts(network, scale, margin)
