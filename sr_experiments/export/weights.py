"""Weights for other programs: safetensors, or a `.pth` as BasicSR writes it; flat state dicts under BasicSR's names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.export.runnable import Run, Runnable
from sr_experiments.generators.spandrel_arch import SpandrelModel

StateDict = dict[str, Tensor]
Facts = Mapping[str, Any]


def write_safetensors(path: Path, weights: StateDict, raw: StateDict | None, facts: Facts) -> None:
    """Write the averaged weights, or the raw ones if there are no averaged ones, and the facts as metadata."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path, as_texts(facts))


def write_pth(path: Path, weights: StateDict, raw: StateDict | None, facts: Facts) -> None:
    """Write `{"params": weights}`, or `{"params": raw, "params_ema": weights}` where the weights are averaged.

    The facts have keys of their own.
    """
    torch.save({**({"params": weights} if raw is None else {"params": raw, "params_ema": weights}), **facts}, path)


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
