"""Datasets by name. To add a source: one file with its two datasets, each registered there under the same name.

Items are images or, where the datasets have `clips` set, clips. Those for training also have `paths`, for messages, and
`in_memory`: whether loading costs nothing. Besides arguments of their own, datasets take

- `crop`: side of the HR crop, a multiple of `scale` (for training);
- `scale`: upsampling factor;
- `channels`: 3 for RGB, 1 for grey; other numbers of bands only where they take `bits`;
- `bits`: depth of the pixels, 8, 16 or "float" (if they can read others than 8);
- `seed`: seed of the run (for training);
- `cache`: folder of packs to read from instead of `root`; see `open_folder` (if they read from a folder).
"""

from typing import TYPE_CHECKING, Any

from sr_experiments.registry import Registry

if TYPE_CHECKING:
    from torch.utils.data import Dataset

_GIVEN = {"scale": "scale", "channels": "channels", "bits": "data.bits", "cache": "data.cache"}
TRAINING_SETS: Registry[Any] = Registry(
    "training data", "sr_experiments.data", {"crop": "data.crop", "seed": "seed", **_GIVEN}
)
VALIDATION_SETS: "Registry[Dataset[dict[str, Any]]]" = Registry("validation data", "sr_experiments.data", _GIVEN)
