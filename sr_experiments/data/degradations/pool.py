"""Training pair pool of Real-ESRGAN, which mixes the pairs of many batches (arXiv 2107.10833, section 4.1)."""

from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.data.depth import LEVELS, Bits
from sr_experiments.errors import SRError

STORED: dict[Bits, torch.dtype] = {8: torch.uint8, 16: torch.int16, "float": torch.float32}
OFFSET = 32768


class PairPool(nn.Module):
    """Pool that exchanges the pairs of a batch for pairs of earlier batches.

    Until the pool is full, batches are stored and returned unchanged. Then each batch replaces as many randomly
    chosen pairs, which are returned in its place. The content is part of the state dict, as images of the depth, so
    that a resumed run continues with the same pool.

    Args:
        bits: depth of the images. 16 bits are stored as int16, less 32768, since PyTorch can't index uint16.
        size: number of pairs. Batches larger than the pool, and the first that no longer fits, are returned unchanged.
    """

    lr: Tensor
    hr: Tensor
    filled: Tensor

    def __init__(self, size: int, bits: Bits = 8) -> None:
        super().__init__()
        self.size = size
        self.bits = bits
        self.register_buffer("lr", torch.empty(0, dtype=STORED[bits]))
        self.register_buffer("hr", torch.empty(0, dtype=STORED[bits]))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self._count = 0  # copy of `filled` on the host: reading the buffer would wait for the device

    @torch.no_grad()
    def forward(self, lr: Tensor, hr: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Exchange a batch, multiples of 1/255 at 8 bits, for as many pairs of the pool; draw on the CPU."""
        n = len(lr)
        if self.lr.shape[1:] != lr.shape[1:] or self.hr.shape[1:] != hr.shape[1:]:
            self.lr, self.hr = (
                torch.zeros(self.size, *images.shape[1:], dtype=STORED[self.bits], device=images.device)
                for images in (lr, hr)
            )
            self._set_count(0)
        levels = [self._stored(images) for images in (lr, hr)]
        if self._count + n <= self.size:
            free = slice(self._count, self._count + n)
            self.lr[free], self.hr[free] = levels
            self._set_count(self._count + n)
            return lr, hr
        if n > self._count:
            return lr, hr
        chosen = torch.randperm(self._count, generator=generator)[:n].to(self.lr.device)
        pairs = self._restored(self.lr[chosen], lr), self._restored(self.hr[chosen], hr)
        self.lr[chosen], self.hr[chosen] = levels
        return pairs

    def _stored(self, images: Tensor) -> Tensor:
        white = LEVELS[self.bits]
        if white is None:
            return images.to(STORED[self.bits])
        levels = (images * white).round().clamp(0, white)
        return (levels - OFFSET if self.bits == 16 else levels).to(STORED[self.bits])

    def _restored(self, stored: Tensor, like: Tensor) -> Tensor:
        white, levels = LEVELS[self.bits], stored.to(like)
        if white is None:
            return levels
        return (levels + OFFSET if self.bits == 16 else levels) / white

    def _set_count(self, count: int) -> None:
        self._count = count
        self.filled.fill_(count)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # The buffers start empty and take the shapes of those in the checkpoint.
        for name in ("lr", "hr"):
            if prefix + name in state_dict:
                if state_dict[prefix + name].dtype != STORED[self.bits]:
                    raise SRError(
                        f"data.bits={self.bits} is not the depth of the run's pool of pairs: leave it as it was"
                    )
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.filled.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._count = int(self.filled)
