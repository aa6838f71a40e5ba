"""DISTS (Ding, Ma, Wang, Simoncelli 2020, arXiv 2004.07728): structure and texture similarity of VGG16 features."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from sr_experiments.checkpoints.backbones import MEAN, STD, pretrained_features
from sr_experiments.errors import SRError
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.pretrained.fetch import fetch

POOLS = (4, 9, 16, 23)  # max poolings in torchvision's features, in whose place L2 pooling stands; section 3.1
LAST = 29  # relu5_3
CHANNELS = (3, 64, 128, 256, 512, 512)  # of the image and of the last ReLU of each stage
STABILISER = 1e-6  # c1 and c2 of equations (5) and (6)


class DISTSNetwork(nn.Module):
    """DISTS of image pairs, frozen.

    Raises:
        WeightsUnavailable: no VGG16 weights, or no weights of the layers.
        SRError: a file of weights is damaged.
    """

    pretrained = ("vgg16", "dists")
    mean: Tensor
    std: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers = list(pretrained_features("vgg16")[: LAST + 1])
        for i, layer in enumerate(layers):
            if i in POOLS:
                layers[i] = L2Pooling()
            elif isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        file = fetch("dists")
        try:
            weights = load_file(file)
            alpha, beta = (weights[key].view(sum(CHANNELS)) for key in ("alpha", "beta"))
        except Exception as error:
            raise SRError(f"{file} is damaged ({type(error).__name__}): remove it or replace it") from error
        whole = alpha.sum() + beta.sum()
        self.register_buffer("alpha", alpha / whole)  # weights of texture, (1475,)
        self.register_buffer("beta", beta / whole)  # of structure

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Compare images (N, 3, H, W) in [0, 1]: (N,), from 0 for equal ones; equation (7)."""
        similarity = torch.zeros(len(x), device=x.device)
        alphas, betas = self.alpha.split(CHANNELS), self.beta.split(CHANNELS)
        for fx, fy, alpha, beta in zip(self._maps(x), self._maps(y), alphas, betas, strict=True):
            mean_x, mean_y = fx.mean((2, 3)), fy.mean((2, 3))  # (N, C)
            dx, dy = fx - mean_x[..., None, None], fy - mean_y[..., None, None]
            covariance = (dx * dy).mean((2, 3))
            variances = dx.square().mean((2, 3)) + dy.square().mean((2, 3))
            texture = (2 * mean_x * mean_y + STABILISER) / (mean_x**2 + mean_y**2 + STABILISER)
            structure = (2 * covariance + STABILISER) / (variances + STABILISER)
            similarity = similarity + (alpha * texture + beta * structure).sum(1)
        return 1 - similarity

    def _maps(self, image: Tensor) -> list[Tensor]:
        """The image itself, and what each stage of VGG16 makes of it before its pooling."""
        maps, x = [image], (image - self.mean) / self.std
        for i, layer in enumerate(self.features):
            if i in POOLS:
                maps.append(x)
            x = layer(x)
        return [*maps, x]


class L2Pooling(nn.Module):
    """Root of the squares under a 3x3 Hann window, at every second pixel: no aliasing; equation (2)."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("window", (taps[:, None] * taps)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2))."""
        window = self.window.expand(x.shape[1], -1, -1, -1)
        return (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


@METRICS.register("dists")
class DISTS(ImageMetric):
    """Deep image structure and texture similarity (a distance: lower is better).

    Raises:
        WeightsUnavailable: no VGG16 weights, or no weights of its layers.
    """

    higher_is_better = False

    def __init__(self, crop_border: int = 0) -> None:
        super().__init__(crop_border)
        self.network = DISTSNetwork().eval().requires_grad_(False)
        self.pretrained = self.network.pretrained
        self.convention = f"DISTS, RGB at full size, crop {crop_border}, 8-bit, mean over images"

    @torch.no_grad()
    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, 3 or 1, H, W) in [0, 1] twice to (N,)."""
        sr, hr = (self.prepare(x).float().expand(-1, 3, -1, -1) for x in (sr, hr))
        with torch.autocast(sr.device.type, enabled=False):
            return self.network(sr, hr)
