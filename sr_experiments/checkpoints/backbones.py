"""ImageNet-trained networks for perceptual losses and LPIPS, from the folder of torchvision's weights.

A file that is already there is used without a check; one that is fetched is checked against its sha256 before it is
renamed.
"""

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from sr_experiments.errors import SRError
from sr_experiments.pretrained.catalogue import weights_file
from sr_experiments.pretrained.fetch import fetch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images, by which inputs are normalised
PREFIX = "features."  # of the convolutional part in a file of torchvision; the classifier is not read


def pretrained_features(name: str) -> nn.Sequential:
    """Return the convolutional part of a torchvision network with its ImageNet weights, frozen, in eval mode.

    Raises:
        WeightsUnavailable: the weights can't be had.
        SRError: the file is damaged, or of another network.
    """
    file = fetch(name)
    try:
        if file == weights_file(name):
            state = torch.load(file, map_location="cpu", weights_only=True)
            weights = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
        else:
            weights = load_file(file)
    except Exception as error:
        raise SRError(f"{file} is damaged ({type(error).__name__}): remove it or replace it") from error
    with torch.device("meta"):  # no memory for weights that are replaced, and no random numbers drawn
        features = getattr(torchvision.models, name)(weights=None).features
    try:
        features.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise SRError(f"{file} has not the weights of torchvision's {name}: remove it") from error
    return features.eval().requires_grad_(False)
