"""LPIPS v0.1 (Zhang et al. 2018, arXiv 1801.03924), never with untrained weights."""

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from sr_experiments.checkpoints.backbones import pretrained_features
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric

Trunk = Literal["alex", "vgg", "squeeze"]
TRUNKS: dict[Trunk, str] = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
# Smallest side of an image: below it, a layer of the trunk has nothing left to output.
LEAST_SIZES: dict[Trunk, int] = {"alex": 31, "vgg": 16, "squeeze": 17}


@METRICS.register("lpips")
class LPIPS(ImageMetric):
    """Learned perceptual distance; lower is better.

    Args:
        net: backbone: "alex", the usual one for reporting, "vgg" or "squeeze".

    Raises:
        WeightsUnavailable: no trained weights of the trunk.
    """

    higher_is_better = False

    def __init__(self, net: Trunk = "alex", crop_border: int = 0) -> None:
        super().__init__(crop_border)
        self.network = lpips_network(net)
        self.pretrained = (TRUNKS[net],)
        self.least_size = LEAST_SIZES[net]
        self.convention = f"LPIPS v0.1, {net} trunk, RGB, crop {crop_border}, 8-bit, mean over images"

    @torch.no_grad()
    def per_image(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Measure each image: (N, 3 or 1, H, W) in [0, 1] twice to (N,)."""
        sr, hr = (self.prepare(x).float().expand(-1, 3, -1, -1) * 2 - 1 for x in (sr, hr))
        with torch.autocast(sr.device.type, enabled=False):
            return self.network(sr, hr).flatten()


def lpips_network(net: Trunk) -> nn.Module:
    """Return the lpips package's network: its linear heads on a trunk from `sr_experiments.checkpoints.backbones`.

    Args:
        net: "alex", "vgg" or "squeeze".

    Returns:
        Frozen module of two images (N, 3, H, W) in [-1, 1], giving (N, 1, 1, 1).

    Raises:
        WeightsUnavailable: no trained weights of the trunk.
    """
    features = pretrained_features(TRUNKS[net])
    import lpips  # here, since importing it takes a second, and without weights it isn't needed

    with warnings.catch_warnings():
        # lpips gives torchvision the argument `pretrained`, which torchvision warns about.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models\._utils")
        # pnet_rand: without weights of the trunk, so that nothing is downloaded behind our back.
        network = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    # lpips cuts the features into slices whose layers keep their index as name: slice2.3.weight is features.3.weight.
    trunk = {}
    for name in network.net.state_dict():
        _, index, kind = name.split(".", 2)
        trunk[name] = features.state_dict()[f"{index}.{kind}"]
    network.net.load_state_dict(trunk)
    return network.eval().requires_grad_(False)
