"""Read the weights of any SR generator, safely: nothing in a file is ever run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sr_experiments.checkpoints.detection import detect
from sr_experiments.checkpoints.files import RECORD, load_content
from sr_experiments.checkpoints.key_styles import StateDict, strip_prefixes, to_basicsr_names, unwrap
from sr_experiments.checkpoints.limits import check_plain
from sr_experiments.checkpoints.ncnn import read_ncnn
from sr_experiments.checkpoints.places import file_of, param_of
from sr_experiments.data.depth import WORDS, Bits
from sr_experiments.errors import SRError

FORMAT = 1  # of the record


@dataclass
class Checkpoint:
    """A generator's weights, and what the file says of them.

    Attributes:
        state_dict: the generator's weights, EMA where there are any, under BasicSR's names.
        generator: its registry name and arguments, recorded or inferred; None if unknown.
        source: the file and what is in it, for messages.
        step: training step, where recorded.
        raw: the weights as last trained, if the file has them besides averaged ones.
        bits: depth of the images that it was trained on: `data.bits` of the run, 8 of other programs.
    """

    state_dict: StateDict
    generator: dict[str, Any] | None
    source: str
    step: int | None = None
    raw: StateDict | None = None
    bits: Bits = 8


def read(path: str | Path) -> Checkpoint:
    """Read a generator's weights from a file of this project or of others.

    Args:
        path: this project's run folder (its best checkpoint, else its last) or checkpoint; a BasicSR, ESRGAN
            or Real-ESRGAN `.pth` in any of their key styles; a safetensors file; RRDBNet's or Compact's `.param` of
            ncnn, with its `.bin` beside it.

    Raises:
        SRError: no such file, not a checkpoint, or one that would run code when opened.
    """
    file = file_of(Path(path).expanduser())
    if param := param_of(file):
        state, network, weights = read_ncnn(param)
        check_plain(state, weights)
        return Checkpoint(state, network, f"{param.name} (ncnn, {network['name']})")
    content = load_content(file)
    if isinstance(content.get(RECORD), Mapping) and isinstance(content.get("state_dict"), Mapping):
        return _read_own(content, file)
    state, wrapper = unwrap(content)
    if not state:
        found = ", ".join(list(map(str, content))[:5]) or "nothing"
        raise SRError(f"{file} holds no network weights: found {found}")
    check_plain(state, file)
    state, style = to_basicsr_names(strip_prefixes(state))
    generator = _recorded_generator(content[RECORD], file) if RECORD in content else detect(state)
    name = generator["name"] if generator else "unknown network"
    source = f"{file.name} ({', '.join(filter(None, (wrapper, style, name)))})"
    return Checkpoint(state, generator, source, bits=recorded_bits(content.get(RECORD, {}), file))


def _recorded_generator(record: Any, file: Path) -> dict[str, Any]:
    """Return the generator's configuration that a record has."""
    if isinstance(record, Mapping) and record.get("format") != FORMAT:
        raise SRError(f"{file} has checkpoint format {record.get('format')}, this version reads {FORMAT}: update it")
    generator = record.get("generator") if isinstance(record, Mapping) else None
    if not isinstance(generator, Mapping) or not isinstance(generator.get("name"), str):
        raise SRError(f"{file} is damaged: its record of the generator is incomplete")
    return {str(key): value for key, value in generator.items()}


def recorded_bits(record: Mapping[str, Any], file: Path) -> Bits:
    """Return the depth that a record has; 8 if it has none."""
    bits = record.get("bits", 8)
    if not isinstance(bits, int | str) or bits not in WORDS:
        raise SRError(f"{file} is damaged: its record says {str(bits)[:20]} bits")
    return bits  # type: ignore[no-any-return]


def _read_own(content: Mapping[str, Any], file: Path) -> Checkpoint:
    """Read a checkpoint of this project's training."""
    record = content[RECORD]
    generator = _recorded_generator(record, file)
    state = {str(key): value for key, value in content["state_dict"].items()}
    averaged = {k.removeprefix("ema."): v for k, v in state.items() if k.startswith("ema.")}
    raw = {k.removeprefix("generator."): v for k, v in state.items() if k.startswith("generator.")}
    if not raw:
        raise SRError(f"{file} holds no generator weights")
    if "step" not in record:
        raise SRError(f"{file} is damaged: its record of the generator is incomplete")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise SRError(f"{file} is damaged: its state_dict holds more than tensors")
    check_plain(state, file)
    source = f"{file.name} (step {record['step']}, {'EMA weights of ' if averaged else ''}{generator['name']})"
    bits = recorded_bits(record, file)
    return Checkpoint(averaged or raw, generator, source, record["step"], raw if averaged else None, bits)
