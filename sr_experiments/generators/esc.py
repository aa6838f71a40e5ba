"""ESC: large convolutions in place of most self-attention (Lee, Yun and Ro 2025, ICCV, arXiv 2503.06671).

In each block one self-attention over windows is followed by convolutional attention: a large kernel that all layers
share, plus a small kernel that each layer computes from its input. Section 3 and figure 4 of the paper.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from torch import Tensor, nn

from sr_experiments.config.constraints import Blocks, Features, Odd
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.initialisation import kaiming_scaled_
from sr_experiments.generators.padding import crop, reflect_to_multiple

DYNAMIC = 3  # side of the kernels that are computed from the input
SMALL = {"features": 8, "blocks": 1, "convolutions": 1, "window": 8, "heads": 2, "conv_features": 4, "hidden": 10}


@GENERATORS.register("esc", small=SMALL)
class ESC(Generator):
    """Blocks of window attention and convolutional attention at LR size and one pixel shuffle, plus the repeated input.

    Layers and state dict names are those of the authors' checkpoints, and so are the reflected borders of windows that
    the image does not fill. The windows don't overlap, and the computed kernels depend on the mean over the whole
    input: in tiles an image comes out slightly different.

    Args:
        scale: upsampling factor, 1 or more.
        features: channels of the blocks.
        blocks: number of blocks, each with one self-attention.
        convolutions: number of layers of convolutional attention in each block.
        window: side of the windows of self-attention, in LR pixels.
        heads: number of heads of self-attention; they share the features evenly.
        conv_features: number of features filtered by the large and the computed kernels.
        kernel: side of the large kernel.
        hidden: channels inside the layers between the convolutions; 1.25 times the features in the paper.

    Raises:
        SRError: the features can't be shared by the heads, or are fewer than `conv_features`.
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        features: Features = 64,
        blocks: Blocks = 5,
        convolutions: Blocks = 5,
        window: Annotated[int, Ge(2), Le(64)] = 32,
        heads: Annotated[int, Ge(1), Le(64)] = 4,
        conv_features: Features = 16,
        kernel: Odd[Annotated[int, Ge(DYNAMIC), Le(31)]] = 13,
        hidden: Features = 80,
    ) -> None:
        super().__init__(scale, channels)
        if features % heads:
            raise SRError(
                f"model.features={features} can't be shared by model.heads={heads}: set a multiple of {heads}"
            )
        if conv_features > features:
            raise SRError(
                f"model.conv_features={conv_features} is more than model.features={features}: set "
                f"model.conv_features={features} or less"
            )
        self.size_multiple = window
        self.receptive_radius = max(window, 32)  # that of one layer of attention; of all together it has no bound
        self.plk_filter = nn.Parameter(torch.empty(conv_features, conv_features, kernel, kernel))
        self.proj = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.ModuleList(
            Block(features, convolutions, window, heads, conv_features, hidden) for _ in range(blocks)
        )
        self.last = nn.Conv2d(features, features, 3, padding=1)
        self.to_img = nn.Conv2d(features, channels * scale**2, 3, padding=1)
        nn.init.orthogonal_(self.plk_filter)
        kaiming_scaled_(self.to_img, 0.01)  # begins close to the enlarged input

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, C, H, W) in [0, 1] to SR (N, C, scale * H, scale * W)."""
        first = x = self.proj(lr)  # (N, features, H, W)
        large_kernel = symmetric(self.plk_filter)
        for block in self.blocks:
            x = block(x, large_kernel)
        details = F.pixel_shuffle(self.to_img(self.last(x) + first), self.scale)  # (N, C, scale * H, scale * W)
        return details + F.interpolate(lr, scale_factor=self.scale, mode="nearest")


def symmetric(kernel: Tensor) -> Tensor:
    """Return the mean of a kernel (..., k, k) and its seven flips and rotations."""
    for image in (lambda x: x.transpose(-2, -1), lambda x: x.flip(-2), lambda x: x.flip(-1)):
        kernel = (kernel + image(kernel)) / 2
    return kernel


class Block(nn.Module):
    """Self-attention over windows, then layers of convolutional attention, in a residual branch."""

    def __init__(
        self, features: int, convolutions: int, window: int, heads: int, conv_features: int, hidden: int
    ) -> None:
        super().__init__()
        self.ln_proj = LayerNorm(features)
        self.proj = ConvFFN(features, 2 * features)
        self.ln_attn = LayerNorm(features)
        self.attn = WindowAttention(features, window, heads)
        self.pconvs = nn.ModuleList(ConvAttentionLayer(features, conv_features) for _ in range(convolutions))
        self.convffns = nn.ModuleList(ConvFFN(features, hidden) for _ in range(convolutions))
        self.ln_out = LayerNorm(features)
        self.conv_out = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, block_input: Tensor, large_kernel: Tensor) -> Tensor:
        """(N, features, H, W), and the shared kernel, to the same shape."""
        x = self.proj(self.ln_proj(block_input))
        x = x + self.attn(self.ln_attn(x))
        for attention, ffn in zip(self.pconvs, self.convffns, strict=True):
            x = x + attention(ffn(x), large_kernel)
        return block_input + self.conv_out(self.ln_out(x))


class LayerNorm(nn.LayerNorm):
    """Normalisation over the channels of each pixel."""

    def __init__(self, features: int) -> None:
        super().__init__(features, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvFFN(nn.Module):
    """Pixel-wise layers with a depthwise convolution between them."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(features, hidden, 1)
        self.dwc = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.aggr = nn.Conv2d(hidden, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        x = F.gelu(self.proj(x))  # (N, hidden, H, W)
        return self.aggr(x + F.gelu(self.dwc(x)))


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows that don't overlap, with a bias for each relative position."""

    def __init__(self, features: int, window: int, heads: int) -> None:
        super().__init__()
        self.window = window
        self.heads = heads
        self.to_qkv = nn.Conv2d(features, 3 * features, 1)
        self.to_out = nn.Conv2d(features, features, 1)
        self.relative_position_bias = nn.Parameter(0.001 * torch.randn(heads, (2 * window - 1) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, features, H, W) to the same shape."""
        height, width = x.shape[-2:]
        qkv = F.pixel_unshuffle(self.to_qkv(reflect_to_multiple(x, self.window)), self.window)
        n, _, rows, columns = qkv.shape  # (N, 3 * features * window^2, rows of windows, columns of windows)
        qkv = qkv.reshape(n, 3, self.heads, -1, self.window**2, rows, columns).permute(1, 0, 5, 6, 2, 4, 3)
        # Each (N * rows * columns, heads, window^2, features / heads); the fast kernels want it contiguous.
        query, key, value = qkv.flatten(1, 3).contiguous()
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self.bias().to(query.dtype))
        out = out.reshape(n, rows, columns, self.heads, self.window**2, -1).permute(0, 3, 5, 4, 1, 2)
        return self.to_out(crop(F.pixel_shuffle(out.flatten(1, 3), self.window), height, width))

    def bias(self) -> Tensor:
        """Return what is added to the scores of each pair of pixels of a window: (1, heads, window^2, window^2).

        The table has a number for each vertical and horizontal distance, that of the key minus that of the query.
        """
        window = self.window
        table = self.relative_position_bias.view(1, self.heads, 2 * window - 1, 2 * window - 1)
        pairs = table.unfold(2, window, 1).unfold(3, window, 1)  # [.., i, j, k, l] is table[.., i + k, j + l]
        return pairs.flip(2, 3).reshape(1, self.heads, window**2, window**2)


class ConvAttentionLayer(nn.Module):
    """Convolutional attention of the first features, then a pixel-wise convolution of all."""

    def __init__(self, features: int, conv_features: int) -> None:
        super().__init__()
        self.plk = ConvAttention(conv_features)
        self.aggr = nn.Conv2d(features, features, 1)

    def forward(self, x: Tensor, large_kernel: Tensor) -> Tensor:
        """(N, features, H, W), and the shared kernel, to the same shape."""
        first, rest = x.split((len(large_kernel), x.shape[1] - len(large_kernel)), 1)
        return self.aggr(torch.cat((self.plk(first, large_kernel), rest), 1))


class ConvAttention(nn.Module):
    """A large kernel that all layers share, plus a depthwise one that is computed from the mean of the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.dwc_proj = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(features, max(features // 2, 1), 1),
            nn.GELU(),
            nn.Conv2d(max(features // 2, 1), features * DYNAMIC**2, 1),
        )
        kaiming_scaled_(self.dwc_proj[-1], 0)  # the computed kernels begin as zeros

    def forward(self, x: Tensor, large_kernel: Tensor) -> Tensor:
        """(N, features, H, W), and a kernel (features, features, k, k), to the same shape as the input."""
        kernels = self.dwc_proj(x).reshape(*x.shape[:2], DYNAMIC, DYNAMIC)
        return F.conv2d(x, large_kernel, padding="same") + depthwise(x, kernels)


def depthwise(x: Tensor, kernels: Tensor) -> Tensor:
    """Filter each channel of each image of (N, C, H, W) by its own kernel of (N, C, k, k), with zeros outside.

    As a sum of shifted images: a convolution of N * C groups can't be exported for any N.
    """
    side, (height, width) = kernels.shape[-1], x.shape[-2:]
    padded = F.pad(x, (side // 2,) * 4)
    shifts = [(i, j) for i in range(side) for j in range(side)]
    return sum(  # type: ignore[return-value]
        kernels[:, :, i, j, None, None] * padded[..., i : i + height, j : j + width] for i, j in shifts
    )
