"""Datasets by name. To add a source: one file with its two datasets, each registered there under the same name.

Items are images or, where the datasets have `clips` set, clips. A dataset for training takes `crop`, `scale`,
`channels` and `seed`, one for validation `scale` and `channels`, besides arguments of their own. Those for training
also have `paths`, for messages, and `in_memory`: whether loading costs nothing.
"""

from typing import Any

from torch.utils.data import Dataset

from sr_experiments.registry import Registry

_GIVEN = {"scale": "scale", "channels": "channels", "cache": "data.cache"}
TRAINING_SETS: Registry[Any] = Registry(
    "training data", "sr_experiments.data", {"crop": "data.crop", "seed": "seed", **_GIVEN}
)
VALIDATION_SETS: Registry[Dataset[dict[str, Any]]] = Registry("validation data", "sr_experiments.data", _GIVEN)
