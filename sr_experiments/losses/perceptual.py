"""Losses on the features of pretrained networks, whose weights never enter a checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_experiments.checkpoints.backbones import MEAN, STD, pretrained_features
from sr_experiments.config.constraints import Weight
from sr_experiments.errors import SRError
from sr_experiments.losses import LOSSES
from sr_experiments.metrics.dists import DISTSNetwork
from sr_experiments.metrics.lpips import TRUNKS, Trunk, lpips_network


def _cosine(ours: Tensor, targets: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(ours, targets, dim=1).mean()


Criterion = Literal["l1", "mse", "cosine"]
CRITERIA: dict[Criterion, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "mse": F.mse_loss, "cosine": _cosine}
CONVOLUTIONS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}  # in each of the five stages


def vgg_layers(net: str) -> dict[str, int]:
    """Index in torchvision's `features` of every convolution and ReLU of "vgg19" or "vgg16".

    VGG19's conv5_4 is 34, relu5_4 is 35.
    """
    index, layers = 0, {}
    for stage, count in enumerate(CONVOLUTIONS[net], 1):
        for i in range(1, count + 1):
            layers[f"conv{stage}_{i}"], layers[f"relu{stage}_{i}"] = index, index + 1
            index += 2
        index += 1  # pooling
    return layers


class PerceptualLoss(nn.Module):
    """Base of losses on a pretrained network: it moves with its parent, stays in eval mode, and saves no state."""

    pretrained: tuple[str, ...] = ()  # weights that it is built with, by their names in `pretrained.catalogue`

    @classmethod
    def substitute(cls, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the settings of the loss that takes this one's place where its weights can't be had; None for none."""
        return None

    def __init__(self) -> None:
        super().__init__()
        self._register_state_dict_hook(_drop_state)
        self._register_load_state_dict_pre_hook(self._supply_state)

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stay in eval mode, whatever is asked for."""
        return super().train(False)

    def _supply_state(self, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        # A module with two names, as the heads of LPIPS are, is expected under both.
        own = [*self.named_parameters(remove_duplicate=False), *self.named_buffers(remove_duplicate=False)]
        for name, tensor in own:
            state_dict[prefix + name] = tensor.detach()


def _drop_state(module: nn.Module, state_dict: dict[str, Any], prefix: str, _: Any) -> None:
    for name in [n for n in state_dict if n.startswith(prefix)]:
        del state_dict[name]


@LOSSES.register("vgg19")
class VGGLoss(PerceptualLoss):
    """Weighted distance between VGG19 features of SR and HR (Ledig et al. 2017; before ReLU as in ESRGAN).

    Computed in the precision of the surroundings (bf16 under autocast), compared in float32.

    Args:
        layers: weights by layer: conv5_4, of VGG16 conv5_3, is the output of the last convolution, before ReLU;
            relu5_4 or relu5_3 after it. A layer with None is left out.
        criterion: "l1", "mse" or "cosine" (1 - cosine similarity over channels, TecoGAN).

    Raises:
        SRError: unknown layer.
        WeightsUnavailable: no weights of the network.
    """

    net = "vgg19"
    mean: Tensor
    std: Tensor

    def __init__(self, layers: Mapping[str, Weight | None] | None = None, criterion: Criterion = "l1") -> None:
        super().__init__()
        known, deepest = vgg_layers(self.net), f"conv5_{CONVOLUTIONS[self.net][-1]}"
        weights = {name: weight for name, weight in (layers or {deepest: 1.0}).items() if weight is not None}
        for name in weights:
            if name not in known:
                choices = ", ".join(n for n in known if n[0] == "c")
                raise SRError(f"{self.net.upper()} has no layer {name!r}: choose of {choices}")
        self.criterion = CRITERIA[criterion]
        self.weights = {known[name]: weight for name, weight in weights.items()}
        self.pretrained = (self.net,)
        self.features = pretrained_features(self.net)[: max(self.weights) + 1]
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # in place it would overwrite the features captured before it
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    @classmethod
    def substitute(cls, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the settings of the same on VGG16, whose later stages have a convolution fewer: its last is theirs."""
        if cls.net == "vgg16":
            return None
        layers: dict[str, float] = {}
        for name, weight in (arguments.get("layers") or {"conv5_4": 1.0}).items():
            if weight is not None:
                other = name if name in vgg_layers("vgg16") else f"{name[:-1]}{CONVOLUTIONS['vgg16'][int(name[4]) - 1]}"
                layers[other] = layers.get(other, 0.0) + weight
        return {**arguments, "name": "vgg16", "layers": layers}

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, 3 or 1, H, W) in [0, 1] twice to a scalar; gradients reach `sr` only."""
        with torch.no_grad():
            targets = self._features(hr)
        ours = self._features(sr)
        terms = [w * self.criterion(ours[i].float(), targets[i].float()) for i, w in self.weights.items()]
        return torch.stack(terms).sum()

    def _features(self, image: Tensor) -> dict[int, Tensor]:
        x = (_as_rgb(image) - self.mean) / self.std
        captured = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.weights:
                captured[i] = x
        return captured


@LOSSES.register("vgg16")
class VGG16Loss(VGGLoss):
    """Weighted distance between VGG16 features of SR and HR, otherwise the same as `vgg19`."""

    net = "vgg16"


@LOSSES.register("lpips")
class LPIPSLoss(PerceptualLoss):
    """LPIPS v0.1 as a loss (Zhang et al. 2018, arXiv 1801.03924).

    Args:
        net: backbone: "vgg", which its authors recommend for optimisation, "alex" or "squeeze".

    Raises:
        WeightsUnavailable: no trained weights of the trunk.
    """

    def __init__(self, net: Trunk = "vgg") -> None:
        super().__init__()
        self.network = lpips_network(net)
        self.pretrained = (TRUNKS[net],)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, 3 or 1, H, W) in [0, 1] twice to a scalar."""
        return self.network(2 * _as_rgb(sr) - 1, 2 * _as_rgb(hr.detach()) - 1).mean()


@LOSSES.register("dists")
class DISTSLoss(PerceptualLoss):
    """DISTS as a loss (Ding et al. 2020, arXiv 2004.07728): it accepts another texture that looks alike.

    Computed in float32.

    Raises:
        WeightsUnavailable: no VGG16 weights, or no weights of DISTS's layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = DISTSNetwork()
        self.pretrained = self.network.pretrained

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """(N, 3 or 1, H, W) in [0, 1] twice to a scalar; gradients reach `sr` only."""
        with torch.autocast(sr.device.type, enabled=False):
            return self.network(_as_rgb(sr).float(), _as_rgb(hr.detach()).float()).mean()


def _as_rgb(image: Tensor) -> Tensor:
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
