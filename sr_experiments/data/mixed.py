"""Dataset of pairs and of further HR images, whose LR is generated: for few real pairs."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sr_experiments.config.constraints import InputPath, OnError, Share
from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.depth import Bits
from sr_experiments.data.held_out import ValShare
from sr_experiments.data.images import ImageFolder
from sr_experiments.data.paired import PairedFolder, PairedValidation
from sr_experiments.data.training_crops import TrainingCrops

VALIDATION_SETS.register("mixed")(PairedValidation)  # of its pairs; of HR alone it is "images"


@TRAINING_SETS.register("mixed")
class MixedFolders(TrainingCrops):
    """Training crops of pairs with a given probability, otherwise of HR images whose LR is generated on the device.

    All samples have LR, for batches to be uniform: zeros where it is still to be generated. `paired`, bool (), says
    whether it is real.

    Args:
        hr: folder of the HR images of the pairs, or a pack of it.
        lr: folder of their LR images, named as for `PairedFolder`.
        root: folder of the further HR images, or a pack of it.
        probability: of a crop being one of the pairs'.

    Raises:
        SRError: names or sizes don't match, no images, or an image is smaller than the crop or unreadable.
    """

    def __init__(
        self,
        hr: InputPath,
        lr: InputPath,
        root: InputPath,
        crop: int,
        scale: int,
        channels: int = 3,
        seed: int = 0,
        probability: Share = 0.5,
        on_error: OnError = "stop",
        augment: bool = True,
        cache: str | None = None,
        bits: Bits = 8,
    ) -> None:
        self.pairs = PairedFolder(hr, lr, crop, scale, channels, seed, on_error, augment, cache, bits)
        self.images = ImageFolder(root, crop, scale, channels, seed, on_error, augment, cache, bits)
        super().__init__(self._all_paths(), crop, scale, seed, on_error, augment)
        self.probability = probability

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read a pair or, after all pairs, an HR image."""
        count = len(self.pairs.paths)
        return self.pairs.load(index) if index < count else self.images.load(index - count)

    def candidates(self, n: int) -> range:
        """Return the indices of the pairs or those of the HR images."""
        count = len(self.pairs.paths)
        # A third number, since the crop of sample n is drawn from (seed, n).
        of_pair = np.random.default_rng((self.seed, n, 1)).random() < self.probability
        return range(count) if of_pair else range(count, len(self.paths))

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        """Return sample number n; see `TrainingCrops`."""
        sample = super().__getitem__(n)
        sample["paired"] = torch.tensor("lr" in sample)
        side = self.crop // self.scale
        sample.setdefault("lr", sample["hr"].new_zeros(len(sample["hr"]), side, side))
        return sample

    def split_off(self, share: ValShare) -> tuple[PairedValidation | None, str]:
        """Take a share of the pairs out of training, for validation; see `TrainingCrops.choose_held_out`."""
        held, words = self.pairs.split_off(share)
        self.paths = self._all_paths()
        return held, words

    def _all_paths(self) -> list[Path]:
        return [*self.pairs.paths, *self.images.paths]
