"""Where images come from. To add a kind: one file with its two datasets, and its name here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from sr_experiments.data.images import ImageFolder, ImageValidation
from sr_experiments.data.paired import PairedFolder, PairedValidation
from sr_experiments.data.sample import SampleImages, SampleValidation
from sr_experiments.data.training_crops import TrainingCrops


class Source(NamedTuple):
    """One kind of data.

    `train` takes `crop`, `scale`, `channels`, `seed`, and `validation` takes `scale`, `channels`, besides
    arguments of their own.
    """

    train: Callable[..., TrainingCrops]
    validation: Callable[..., Dataset[dict[str, Any]]]


SOURCES: dict[str, Source] = {
    "sample": Source(SampleImages, SampleValidation),
    "images": Source(ImageFolder, ImageValidation),
    "paired": Source(PairedFolder, PairedValidation),
}
