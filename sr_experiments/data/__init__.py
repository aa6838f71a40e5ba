"""Where images come from. To add a kind: one file with its two datasets, and its name here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch.utils.data import Dataset

from sr_experiments.data.images import ImageFolder, ImageValidation
from sr_experiments.data.paired import PairedFolder, PairedValidation
from sr_experiments.data.reds import REDS, REDSValidation
from sr_experiments.data.sample import SampleImages, SampleValidation
from sr_experiments.data.sample_video import SampleVideo, SampleVideoValidation
from sr_experiments.data.videos import VideoFolder, VideoValidation
from sr_experiments.data.vimeo90k import Vimeo90K, Vimeo90KValidation


class Source(NamedTuple):
    """One kind of data: images or, where the datasets have `clips` set, clips.

    Datasets for training also have `paths`, for messages, and `in_memory`: whether loading costs nothing.

    `train` takes `crop`, `scale`, `channels`, `seed`, and `validation` takes `scale`, `channels`, besides
    arguments of their own.
    """

    train: Callable[..., Any]
    validation: Callable[..., Dataset[dict[str, Any]]]


SOURCES: dict[str, Source] = {
    "sample": Source(SampleImages, SampleValidation),
    "sample_video": Source(SampleVideo, SampleVideoValidation),
    "images": Source(ImageFolder, ImageValidation),
    "paired": Source(PairedFolder, PairedValidation),
    "videos": Source(VideoFolder, VideoValidation),
    "reds": Source(REDS, REDSValidation),
    "vimeo90k": Source(Vimeo90K, Vimeo90KValidation),
}
