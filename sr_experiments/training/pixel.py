"""Pixel-only training: any generator, any pixel loss."""

from typing import Any

from torch import Tensor, nn

from sr_experiments.training.module import SRModule


class PixelModule(SRModule):
    """Minimise a pixel loss between SR and HR.

    Args:
        pixel: loss of (sr, hr), both (N, C, H, W) in [0, 1].
        pixel_weight: its weight.
        **base: arguments of `SRModule`.
    """

    def __init__(self, pixel: nn.Module, pixel_weight: float = 1.0, **base: Any) -> None:
        super().__init__(**base)
        self.pixel = pixel
        self.pixel_weight = pixel_weight

    def train_batch(self, lr: Tensor, hr: Tensor, target: Tensor) -> dict[str, Tensor]:
        """One update of the generator."""
        loss = self.pixel(self.generator(lr), target)
        norms = self.update(self.pixel_weight * loss, "generator")
        return {"loss/pixel": loss.detach(), **norms}
