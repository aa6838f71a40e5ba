"""The data of a run: training batches by step, and named validation sets."""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset, default_collate

from sr_experiments.data import TRAINING_SETS, VALIDATION_SETS
from sr_experiments.data.batches import StepBatches, next_validation
from sr_experiments.data.clips import WithLater
from sr_experiments.data.depth import Bits
from sr_experiments.data.held_out import ValShare
from sr_experiments.data.workers import ignore_interrupt, worker_count
from sr_experiments.errors import SRError
from sr_experiments.files.cache import cache_folder
from sr_experiments.registry import Registry, build

log = logging.getLogger(__name__)


class SRDataModule(pl.LightningDataModule):
    """Training and validation data; everything is found and checked at construction.

    An epoch of Lightning lasts from one validation to the next. The training loader starts at the `step` of the
    LightningModule, so resuming needs no state, and the samples of a step are the same for any number of workers.
    The Trainer needs `use_distributed_sampler=False`, since ranks are handled here.

    Args:
        train: `name` of the source (see `TRAINING_SETS`) and its arguments: `{"name": "images", "root": ...}`.
        val: validation sets by name, each like `train`. A set without `name` is "paired" if it has `lr` or `hr`, else
            "images"; if training on clips, "videos". If there is none, what `val_share` holds out, else the sample
            photographs, or sample clips.
        batch_size, crop, num_workers, seed, scale, channels, bits, show_bands, cache: the settings of the
            run of these names.
        val_every: steps between validations.
        ends: steps at which the stages of the run end; the last is the end of the run.
        val_share: share of the training files that is held out for validation, if there is no `val`; "auto" for a
            tenth, at most 20 images or 10 clips.
        clips_of_step: returns the number of clips per device and of frames per clip of a step, for runs that train on
            clips in stages; by default `batch_size` clips of one frame.
        lookahead: number of later frames that validation on clips needs with each frame, see `WithLater`.
        phase: of the LR pixels of pairs, see `Degradation`.

    Raises:
        SRError: data is missing, damaged or does not fit.
    """

    def __init__(
        self,
        train: Mapping[str, Any],
        val: Mapping[str, Mapping[str, Any]] | None = None,
        batch_size: int = 16,
        crop: int = 128,
        num_workers: int | str = "auto",
        seed: int = 0,
        scale: int = 4,
        channels: int = 3,
        val_every: int = 5000,
        ends: Sequence[int] = (1_000_000,),
        cache: bool | str = False,
        val_share: ValShare = 0.0,
        clips_of_step: Callable[[int], tuple[int, int]] | None = None,
        bits: Bits = 8,
        show_bands: Sequence[int] = (1, 2, 3),
        lookahead: int = 0,
        phase: str = "centred",
    ) -> None:
        super().__init__()
        if crop % scale:
            raise SRError(f"data.crop={crop} must be a multiple of scale={scale}: use {max(crop // scale, 1) * scale}")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.next_validation = partial(next_validation, val_every=val_every, ends=ends)
        self.clips_of_step = clips_of_step or (lambda step: (batch_size, 1))
        packs = cache_folder(cache) if cache else None
        self.bits = bits
        self.show_bands = shown_bands(show_bands, channels)
        self.lookahead = lookahead
        _check_depth(train, bits, channels)
        given = {"crop": crop, "scale": scale, "channels": channels, "seed": seed}
        taken = _taken(TRAINING_SETS, train, packs, bits)
        self.train_set = build("training data", TRAINING_SETS, train, **given, **taken)
        self.train_set.phase = phase
        self.clips = bool(getattr(self.train_set, "clips", False))
        sample = "sample_video" if self.clips else "sample"
        held = None if val else self._hold_out(val_share)
        self.val_sets = (
            {"held_out": held}
            if held is not None
            else {
                name: validation_set(name, arguments, scale, channels, self.clips, packs, bits)
                for name, arguments in (val or {sample: {"name": sample}}).items()
            }
        )
        self.val_names = list(self.val_sets)

    def _hold_out(self, share: ValShare) -> Any:
        """Take a share of the files out of training and say which; None if nothing can be, or is to be, held out."""
        if not share:
            return None
        if not hasattr(self.train_set, "split_off"):
            raise SRError(f"data.val_share={share} is for images, paired, mixed and videos: set it to 0")
        held, which = self.train_set.split_off(share)
        if held is None:
            sample = "clips" if self.clips else "photographs"
            todo = "give your own with +data.val.mine.root=<folder>"
            log.warning("%s: none can be held out, so validation is on sample %s; %s", which, sample, todo)
        else:
            log.info("held out for validation by data.val_share=%s, and not trained on: %s", share, which)
        return held

    def train_dataloader(self) -> DataLoader:
        """Return the batches from the current step to the next validation, for this rank."""
        return self._loader(self.train_set, batch_sampler=self._batches(), workers=self._workers(), persistent=True)

    def batch_of(self, step: int) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Return the batch of a step again, for this rank, and the number and file of each sample."""
        samples, origins = [], []
        for key in self._batches().samples(step):
            samples.append(self.train_set[key])
            number = key[0] if isinstance(key, tuple) else key
            origins.append({"number": number, "file": getattr(self.train_set, "origin", "")})
        return default_collate(samples), origins

    def _batches(self) -> StepBatches:
        trainer = self.trainer
        return StepBatches(
            self._current_step,
            self.batch_size,
            self.next_validation,
            self.clips_of_step if self.clips else None,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Return a loader per set, in the order of `val_names`; rank r of W gets images, or clips, r, r + W, ..."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return [
            self._loader(
                Subset(
                    WithLater(images, self.lookahead) if self.lookahead else images,
                    _items_of_rank(name, images, rank, world_size),
                ),
                batch_size=1,
                workers=0 if getattr(images, "in_memory", False) else min(self._workers(), 2),
            )
            for name, images in self.val_sets.items()
        ]

    def transfer_batch_to_device(self, batch: dict[str, Any], device: torch.device, dataloader_idx: int) -> Any:
        """Move tensors of pixels to the device; numbers stay on the host."""
        # Reading a number on the device would wait for all work queued there.
        numbers = {key: batch[key] for key in ("skipped", "frame", "paired") if key in batch}
        pixels = {key: value for key, value in batch.items() if key not in numbers}
        return {**super().transfer_batch_to_device(pixels, device, dataloader_idx), **numbers}

    def _current_step(self) -> int:
        module: Any = self.trainer.lightning_module if self.trainer else None  # counts its own steps
        return module.step if module else 0

    def _workers(self) -> int:
        devices = self.trainer.num_devices if self.trainer else 1
        return worker_count(self.num_workers, self.train_set.in_memory, devices)

    def _loader(self, dataset: Any, workers: int, persistent: bool = False, **arguments: Any) -> DataLoader:
        return DataLoader(
            dataset,
            num_workers=workers,
            persistent_workers=persistent and workers > 0,
            worker_init_fn=ignore_interrupt,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            **arguments,
        )


def _items_of_rank(name: str, images: Any, rank: int, world_size: int) -> Sequence[int]:
    """Return the items of one rank; the frames of a clip stay together and in order."""
    units: Any = getattr(images, "ranges", range(len(images)))  # clips, or images
    if len(units) < world_size:
        what = "clips" if hasattr(images, "ranges") else "images"
        raise SRError(f"data.val.{name} has {len(units)} {what} for {world_size} processes: use trainer.devices=1")
    own = units[rank::world_size]
    return [item for clip in own for item in clip] if hasattr(images, "ranges") else own


def validation_set(
    name: str, arguments: Mapping[str, Any], scale: int, channels: int, clips: bool, packs: Path | None, bits: Bits = 8
) -> Any:
    """Build the validation set `data.val.<name>` of a run, of images or of clips, from its arguments."""
    if not isinstance(arguments, Mapping):
        raise SRError(f"data.val.{name}={arguments}: give its arguments, for example data.val.{name}.root=<folder>")
    kind = "videos" if clips else "paired" if "lr" in arguments or "hr" in arguments else "images"
    arguments = {"name": kind, **arguments}
    given = {"scale": scale, "channels": channels, **_taken(VALIDATION_SETS, arguments, packs, bits)}
    if channels not in (1, 3) and "bits" not in given:
        raise SRError(f"data.val.{name} has no images of {channels} bands: validate on images or pairs that have")
    images = build(f"validation data {name}:", VALIDATION_SETS, arguments, **given)
    if getattr(images, "clips", False) != clips:
        what, other = ("images", "clips") if clips else ("clips", "images")
        raise SRError(f"data.val.{name} has {what}, but training uses {other}: validate on {other}")
    return images


def shown_bands(chosen: Sequence[int], channels: int) -> tuple[int, ...]:
    """Return the indices, from 0, of the bands that pictures show as red, green and blue; () for grey and RGB.

    Raises:
        SRError: there are no such bands.
    """
    if channels in (1, 3):
        return ()
    if channels == 2 and tuple(chosen) == (1, 2, 3):  # the default
        chosen = (1, 1, 2)
    if max(chosen) > channels:
        raise SRError(f"data.show_bands={list(chosen)}: there are {channels} bands, numbered from 1")
    return tuple(band - 1 for band in chosen)


def _check_depth(train: Mapping[str, Any], bits: Bits, channels: int) -> None:
    """Refuse depths and bands that the training data can't have."""
    kind = TRAINING_SETS.get(str(train.get("name")))
    if kind is None or "bits" in inspect.signature(kind).parameters:
        return
    for setting, fits in ((f"data.bits={bits}", bits == 8), (f"channels={channels}", channels in (1, 3))):
        if not fits:
            raise SRError(
                f"{setting} needs images that have it, and data={train['name']} has none: use images, paired or mixed"
            )


def _taken(kinds: Registry[Any], arguments: Mapping[str, Any], packs: Path | None, bits: Bits) -> dict[str, Any]:
    """Return what a dataset takes of a folder for packs, if there is one, and the depth."""
    kind = kinds.get(str(arguments.get("name")))
    takes = set() if kind is None else set(inspect.signature(kind).parameters)
    given = {"bits": bits} | ({"cache": str(packs)} if packs else {})
    return {name: value for name, value in given.items() if name in takes}
