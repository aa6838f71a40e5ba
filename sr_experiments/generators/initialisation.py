"""BasicSR's `default_init_weights`: small residual branches make deep SR networks train."""

from torch import nn


def kaiming_scaled(module: nn.Module, scale: float) -> None:
    """Kaiming-normal weights times `scale`, zero biases, for every convolution in `module`."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data.mul_(scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
