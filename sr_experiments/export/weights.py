"""Weights for other programs: safetensors, or a `.pth` as BasicSR writes it; flat state dicts under BasicSR's names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.export.runnable import Run, Runnable
from sr_experiments.generators.spandrel_arch import SpandrelModel

StateDict = dict[str, Tensor]
Facts = Mapping[str, Any]


def write_safetensors(path: Path, weights: StateDict, raw: StateDict | None) -> None:
    """Write the averaged weights, or the raw ones if there are no averaged ones."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)


def add_metadata_to_safetensors(path: Path, facts: Facts) -> None:
    """Add the facts to the metadata."""
    save_file(load_file(path), path, as_texts(facts))


def write_pth(path: Path, weights: StateDict, raw: StateDict | None) -> None:
    """Write `{"params": weights}`, or `{"params": raw, "params_ema": weights}` where the weights are averaged.

    Args:
        path: the file.
        weights: averaged if there are such.
        raw: as last trained, if `weights` are averaged.
    """
    torch.save({"params": weights} if raw is None else {"params": raw, "params_ema": weights}, path)


def add_metadata_to_pth(path: Path, facts: Facts) -> None:
    """Add the facts under their own keys."""
    torch.save({**torch.load(path, weights_only=True), **facts}, path)


def as_texts(facts: Facts) -> dict[str, str]:
    """Convert facts for formats whose metadata are strings: others than strings as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}


def run_weights(path: Path) -> Run:
    """Load a file of weights as `sr upscale` does."""
    generator, _ = load_generator(path)
    return Runnable(generator.float())


def run_in_spandrel(path: Path) -> Run:
    """Load a file of weights by spandrel; images are padded to the sizes that it requires."""
    from spandrel import ModelLoader

    import sr_experiments.export.spandrel_plugin  # noqa: F401  (registers this project's networks)

    return SpandrelModel(ModelLoader("cpu").load_from_file(path)).float().eval()
