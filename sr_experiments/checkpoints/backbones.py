"""ImageNet-trained networks for perceptual losses and LPIPS: from torchvision's cache, or its download.

A file that is already in the cache is used without a check; a download is checked against the hash in its name
before it is renamed, so an interrupted download leaves no file.
"""

import socket
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights, VGG19_Weights

from sr_experiments.config.offline import is_offline
from sr_experiments.errors import SRError

WEIGHTS = {
    "vgg19": VGG19_Weights.IMAGENET1K_V1,
    "vgg16": VGG16_Weights.IMAGENET1K_V1,
    "alexnet": AlexNet_Weights.IMAGENET1K_V1,
    "squeezenet1_1": SqueezeNet1_1_Weights.IMAGENET1K_V1,
}
PREFIX = "features."  # of the convolutional part in a file; the classifier is not read
DOWNLOAD_TIMEOUT = 10.0  # seconds without data


class WeightsUnavailable(SRError):
    """Pretrained weights are not in the cache and can't be downloaded; the message says which file to put where."""


def pretrained_features(name: str) -> nn.Sequential:
    """Return the convolutional part of a torchvision network with its ImageNet WEIGHTS, frozen, in eval mode.

    Raises:
        WeightsUnavailable: the weights can't be had.
        SRError: the file is damaged, or of another network.
    """
    file = weights_file(name)
    if not file.is_file():
        _download(name, file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SRError(f"{file} is damaged ({type(error).__name__}): remove it or replace it") from error
    weights = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    with torch.device("meta"):  # no memory for weights that are replaced, and no random numbers drawn
        features = getattr(torchvision.models, name)(weights=None).features
    try:
        features.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise SRError(f"{file} has not the weights of torchvision's {name}: remove it") from error
    return features.eval().requires_grad_(False)


def weights_file(name: str) -> Path:
    """Return the path where torchvision keeps the weights of `name`."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS[name].url.rsplit("/", 1)[-1]


def _download(name: str, file: Path) -> None:
    put = f"put {file.name} into {file.parent}"
    if is_offline():
        raise WeightsUnavailable(f"the {name} weights are not on this machine and offline=true or SR_OFFLINE=1: {put}")
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Writes to a temporary file, and checks the hash before it is renamed.
        expected_hash = file.stem.rsplit("-", 1)[-1]
        torch.hub.download_url_to_file(WEIGHTS[name].url, str(file), expected_hash, progress=False)
    except (OSError, RuntimeError) as error:
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        raise WeightsUnavailable(f"no {name} weights: the download failed ({reason}); {put}") from error
    finally:
        socket.setdefaulttimeout(timeout)
