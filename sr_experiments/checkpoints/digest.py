"""A digest of a network: its structure and its weights."""

import hashlib

import torch
from torch import nn


def network_digest(network: nn.Module) -> str:
    """Return the SHA-256 of a network's structure, and of the names and values of its weights, as hex digits."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
