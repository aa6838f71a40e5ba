"""Real-ESRGAN's training pair pool: batches mixed from the pairs of many (arXiv 2107.10833, section 4.1)."""

import torch
from torch import Tensor, nn


class PairPool(nn.Module):
    """Keep pairs of earlier batches, and give some of those for the new ones.

    Until it is full, batches are kept and given as they come. Then each batch takes the places of as many randomly
    chosen pairs, which are given instead. Its content is in its state dict, as 8-bit images, so that a run goes on
    with what it held.

    Args:
        size: how many pairs; batches larger than it, and the first ones that don't fit, are given as they come.
    """

    lr: Tensor
    hr: Tensor
    filled: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("lr", torch.empty(0, dtype=torch.uint8))
        self.register_buffer("hr", torch.empty(0, dtype=torch.uint8))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self._count = 0  # `filled`, without asking the device

    @torch.no_grad()
    def forward(self, lr: Tensor, hr: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Exchange a batch.

        Args:
            lr: (N, C, h, w), 255ths in [0, 1].
            hr: (N, C, H, W), likewise.
            generator: chooses the pairs, on the CPU.

        Returns:
            As many pairs, on the same device.
        """
        n = len(lr)
        if self.lr.shape[1:] != lr.shape[1:] or self.hr.shape[1:] != hr.shape[1:]:
            self.lr, self.hr = (
                torch.zeros(self.size, *images.shape[1:], dtype=torch.uint8, device=images.device)
                for images in (lr, hr)
            )
            self._fill(0)
        levels = [(images * 255).round().clamp(0, 255).byte() for images in (lr, hr)]
        if self._count + n <= self.size:
            places = slice(self._count, self._count + n)
            self.lr[places], self.hr[places] = levels
            self._fill(self._count + n)
            return lr, hr
        if n > self._count:
            return lr, hr
        chosen = torch.randperm(self._count, generator=generator)[:n].to(self.lr.device)
        given = self.lr[chosen].to(lr) / 255, self.hr[chosen].to(hr) / 255
        self.lr[chosen], self.hr[chosen] = levels
        return given

    def _fill(self, count: int) -> None:
        self._count = count
        self.filled.fill_(count)

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:  # type: ignore[no-untyped-def]
        """Take the shapes of what is loaded."""
        for name in ("lr", "hr"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.filled.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._count = int(self.filled)
