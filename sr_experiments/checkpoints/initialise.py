"""Initialise a network for training with the weights of a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sr_experiments.checkpoints.detection import detect
from sr_experiments.checkpoints.key_styles import to_spandrel_names
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator


@dataclass
class LoadReport:
    """Names of the tensors that `load_weights` copied, and of those that it did not."""

    source: str
    matched: list[str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[str]

    def summary(self) -> str:
        """Describe it in one line."""
        parts = [f"{len(self.matched)} tensors matched"]
        for what, names in (
            ("of another shape, left fresh", self.mismatched),
            ("not in the file, left fresh", self.missing),
            ("of the file not used", self.unexpected),
        ):
            if names:
                shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
                parts.append(f"{len(names)} {what} ({shown})")
        return f"{self.source}: " + "; ".join(parts)


def load_weights(generator: Generator, checkpoint: Checkpoint, part: str | None = None) -> LoadReport:
    """Copy every tensor of the checkpoint that has the name and shape of one in the network.

    The weights of an image network are copied into the SR net of a recurrent one. Its first convolution has further
    input channels there, for the previous frame; they are set to zero, so that at first the network does for each
    frame what the image network does. With a `part`, "fnet" or "srnet", only this part of it is filled.

    Raises:
        SRError: the checkpoint is of another network, or of other sizes throughout.
    """
    recurrent = isinstance(generator, RecurrentGenerator)
    if part is not None and not (isinstance(generator, RecurrentGenerator) and part in generator.parts):
        raise SRError(f"init_from.{part}: the network to be trained has no such part; give init_from=<checkpoint>")
    trained_phase = (checkpoint.generator or {}).get("phase")
    if part is None and None not in (trained_phase, generator.phase) and trained_phase != generator.phase:
        degradation = "blur_down" if trained_phase == "corner" else "bicubic"
        raise SRError(
            f"{checkpoint.source} is for LR pixels with phase={trained_phase}, the network to be trained has "
            f"phase={generator.phase}: use degradation={degradation}, or model.phase={trained_phase}"
        )
    weights, own = checkpoint.state_dict, generator.state_dict()
    if recurrent and not any(name.startswith(("fnet.", "srnet.")) for name in weights):  # of an image network
        part = part or "srnet"
        weights = {f"srnet.{name}": tensor for name, tensor in weights.items()}
    if part is not None:
        own, weights = (
            {name: tensor for name, tensor in state.items() if name.startswith(f"{part}.")} for state in (own, weights)
        )
    elif recurrent and part is None and _kind(checkpoint) not in (None, type(generator)):
        raise SRError(
            f"{checkpoint.source} is of {(checkpoint.generator or {}).get('name')}, another recurrent network than the "
            "one to be trained: only its flow net fits, 'init_from={fnet: <checkpoint>}'"
        )
    weights = to_spandrel_names(weights, own)
    if recurrent:
        weights = {name: _widen(tensor, own.get(name)) for name, tensor in weights.items()}
    fits = {name: own[name].shape == weights[name].shape for name in sorted(own.keys() & weights.keys())}
    report = LoadReport(
        checkpoint.source,
        matched=[name for name in fits if fits[name]],
        missing=[name for name in own if name not in weights],
        unexpected=[name for name in weights if name not in own],
        mismatched=[name for name in fits if not fits[name]],
    )
    if 2 * len(report.matched) < len(own):
        saved, wanted = checkpoint.generator, detect(generator.state_dict())
        difference = describe_mismatch(saved, wanted) if saved and wanted else report.summary()
        raise SRError(f"{checkpoint.source} does not fit the network to be trained: {difference}")
    generator.load_state_dict({name: weights[name] for name in report.matched}, strict=False)
    return report


def _kind(checkpoint: Checkpoint) -> object:
    """Return the class of a checkpoint's network, where it is known."""
    return GENERATORS.get(str((checkpoint.generator or {}).get("name")))


def _widen(weight: Tensor, own: Tensor | None) -> Tensor:
    """Append input channels of zeros to the weights of a convolution that has more of them in the network."""
    if own is None or own.ndim != 4 or weight.ndim != 4 or weight.shape[1] >= own.shape[1]:
        return weight
    missing = own.shape[1] - weight.shape[1]
    return torch.cat((weight, weight.new_zeros(len(weight), missing, *weight.shape[2:])), 1)


def describe_mismatch(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Describe how two generator configurations differ: `the checkpoint has blocks=23, the run blocks=16`."""
    if saved.get("name") != wanted.get("name"):
        return f"the checkpoint is of {saved.get('name')}, the run's network is {wanted.get('name')}"
    keys = [k for k in {**saved, **wanted} if saved.get(k) != wanted.get(k)]
    have, want = (", ".join(f"{k}={config.get(k)}" for k in keys) for config in (saved, wanted))
    return f"the checkpoint has {have}, the run {want}"
