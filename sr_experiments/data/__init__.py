"""Datasets by name. To add a source: one file with its training and its validation dataset."""

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
    """A source of images or, if its datasets set `clips`, of clips.

    Training datasets also have `paths`, used in messages, and `in_memory`, true if worker processes would not speed up
    loading. `train` takes `crop`, `scale`, `channels` and `seed`, `validation` takes `scale` and `channels`; both take
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
