"""Read the weights of any SR generator, safely: nothing in a file is ever run."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.checkpoints.detection import DETECTORS, detect
from sr_experiments.checkpoints.files import RECORD, file_of, load_content
from sr_experiments.checkpoints.limits import check_plain, in_proportion
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.spandrel_arch import recognised
from sr_experiments.registry import build

StateDict = dict[str, Tensor]

FORMAT = 1  # of the record

# Where other programs put the state dict, best first: averaged weights before raw ones.
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "generator", "netG")
PREFIXES = ("module.", "_orig_mod.", "netG.", "generator.", "model.")

PARTS = ("fnet", "srnet")  # of a frame-recurrent network

# RRDBNet under the names of the ESRGAN repository and of its first release; BLOCKS is the number of blocks.
NEW_STYLE = (
    (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\.", r"body.\1.rdb\2.conv\3."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^upconv(\d)\.", r"conv_up\1."),
    (r"^HRconv\.", "conv_hr."),
)
OLD_STYLE = (
    (r"^model\.0\.", "conv_first."),
    (r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
    (r"^model\.1\.sub\.\d+\.", "conv_body."),
    (r"^model\.3\.", "conv_up1."),
    (r"^model\.6\.", "conv_up2."),
    (r"^model\.8\.", "conv_hr."),
    (r"^model\.10\.", "conv_last."),
)


@dataclass
class Checkpoint:
    """What was found in a file.

    Attributes:
        state_dict: the generator's weights, EMA where there are any, under BasicSR's names.
        generator: its registry name and arguments, recorded or inferred; None if unknown.
        source: what kind of file it is, in words.
        step: training step, where recorded.
        raw: the weights as last trained, where `state_dict` holds averaged ones beside them.
    """

    state_dict: StateDict
    generator: dict[str, Any] | None
    source: str
    step: int | None = None
    raw: StateDict | None = None


@dataclass
class LoadReport:
    """What `load_weights` did, by tensor name."""

    source: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line."""
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


def read(path: str | Path) -> Checkpoint:
    """Read a generator's weights.

    Args:
        path: this project's run folder (its best checkpoint, else its last) or checkpoint; a BasicSR, ESRGAN
            or Real-ESRGAN `.pth` in any of their key styles; a safetensors file.

    Raises:
        SRError: no such file, not a checkpoint, or one that would run code when opened.
    """
    file = file_of(Path(path).expanduser())
    content = load_content(file)
    if isinstance(content.get(RECORD), Mapping) and isinstance(content.get("state_dict"), Mapping):
        return _own(content, file)
    state, wrapper = _unwrap(content)
    if not state:
        found = ", ".join(list(map(str, content))[:5]) or "nothing"
        raise SRError(f"{file} holds no network weights: found {found}")
    check_plain(state, file)
    state, style = _basicsr_names(_strip(state))
    detected = _recorded(content, file) or detect(state)
    kind = (
        f"{file.name} ({wrapper + ', ' if wrapper else ''}{style}{detected['name'] if detected else 'unknown network'})"
    )
    return Checkpoint(state, detected, kind)


def load_generator(path: str | Path) -> tuple[nn.Module, Checkpoint]:
    """The network of a checkpoint with its weights, in eval mode; `path` as for `read`.

    Raises:
        SRError: as `read`; a network that neither this project nor spandrel knows; weights that are not all there.
    """
    checkpoint = read(path)
    if checkpoint.generator is None:
        return _by_spandrel(checkpoint), checkpoint
    generator = _built(checkpoint)
    weights = {name: t for name, t in checkpoint.state_dict.items() if name != "upsample_func.kernels"}
    own = generator.state_dict()
    if all(name.startswith("net.") for name in own) and not any(name.startswith("net.") for name in weights):
        weights = {f"net.{name}": tensor for name, tensor in weights.items()}  # an architecture's own names
    wrong = [name for name in own if name not in weights or own[name].shape != weights[name].shape]
    wrong += [name for name in weights if name not in own]
    if wrong:
        raise SRError(
            f"{checkpoint.source} does not hold all weights of {checkpoint.generator['name']} and no others: "
            f"{len(wrong)} missing, superfluous or of another shape ({', '.join(wrong[:3])})"
        )
    generator.load_state_dict({name: weights[name] for name in own})
    return generator.eval(), checkpoint


def load_weights(generator: nn.Module, checkpoint: Checkpoint, part: str | None = None) -> LoadReport:
    """Copy every tensor that has a namesake of the same shape into `generator`.

    An image network's weights go into the SR net of a frame-recurrent one. Its first convolution has further
    input channels there, for the previous frame; they start at zero, so that at first the network does frame
    by frame what the image network does.

    Args:
        generator: the network to fill.
        checkpoint: the weights.
        part: "fnet" or "srnet" to fill only this part of a frame-recurrent network.

    Raises:
        SRError: the checkpoint is of another network, or of other sizes throughout.
    """
    weights = checkpoint.state_dict
    trained = (checkpoint.generator or {}).get("phase", None)
    if part is None and trained not in (None, getattr(generator, "phase", trained)):
        degradation = "blur_down" if trained == "corner" else "bicubic"
        raise SRError(
            f"{checkpoint.source} is for LR pixels with phase={trained}, the network to be trained has "
            f"phase={generator.phase}: use degradation={degradation}, or model.phase={trained}"
        )
    recurrent = {name for name in PARTS if hasattr(generator, name)}
    if part is not None and part not in recurrent:
        raise SRError(f"init_from.{part}: the network to be trained has no such part; give init_from=<checkpoint>")
    if recurrent and not any(name.startswith(("fnet.", "srnet.")) for name in weights):
        part, weights = part or "srnet", {f"srnet.{name}": tensor for name, tensor in weights.items()}
    own = {k: v for k, v in generator.state_dict().items() if part is None or k.startswith(f"{part}.")}
    if part is not None:
        weights = {k: v for k, v in weights.items() if k.startswith(f"{part}.")}
    if all(name.startswith("net.") for name in own) and not any(name.startswith("net.") for name in weights):
        weights = {f"net.{name}": tensor for name, tensor in weights.items()}  # an architecture's published file
    weights = {name: _widened(tensor, own.get(name)) if recurrent else tensor for name, tensor in weights.items()}
    report = LoadReport(checkpoint.source)
    report.missing = [name for name in own if name not in weights]
    report.unexpected = [name for name in weights if name not in own]
    for name in own.keys() & weights.keys():
        (report.matched if own[name].shape == weights[name].shape else report.mismatched).append(name)
    if 2 * len(report.matched) < len(own):
        have, want = checkpoint.generator, detect(generator.state_dict())
        difference = f": {describe_mismatch(have, want)}" if have and want else f": {report.summary()}"
        raise SRError(f"{checkpoint.source} does not fit the network to be trained{difference}")
    generator.load_state_dict({name: weights[name] for name in report.matched}, strict=False)
    report.matched.sort()
    report.mismatched.sort()
    return report


def _widened(weight: Tensor, own: Tensor | None) -> Tensor:
    """A convolution's weights with input channels of zeros behind its own, where the network has more of them."""
    if own is None or own.ndim != 4 or weight.ndim != 4 or weight.shape[1] >= own.shape[1]:
        return weight
    missing = own.shape[1] - weight.shape[1]
    return torch.cat((weight, weight.new_zeros(len(weight), missing, *weight.shape[2:])), 1)


def describe_mismatch(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say what differs between two generator configurations: `the checkpoint has blocks=23, the run blocks=16`."""
    if saved.get("name") != wanted.get("name"):
        return f"the checkpoint is of {saved.get('name')}, the run's network is {wanted.get('name')}"
    keys = [k for k in {**saved, **wanted} if saved.get(k) != wanted.get(k)]
    have = ", ".join(f"{k}={saved.get(k)}" for k in keys)
    want = ", ".join(f"{k}={wanted.get(k)}" for k in keys)
    return f"the checkpoint has {have}, the run {want}"


def _built(checkpoint: Checkpoint) -> nn.Module:
    """The network that a file's record, or its weights, say it is of."""
    assert checkpoint.generator is not None
    inferred = detect(checkpoint.state_dict) or {}
    if inferred.get("name") == checkpoint.generator["name"]:
        wrong = [k for k, v in inferred.items() if k != "phase" and _contradicts(checkpoint.generator.get(k, v), v)]
        if wrong:  # found before memory is taken for sizes that somebody wrote down
            said = {key: checkpoint.generator[key] for key in wrong}
            raise SRError(
                f"{checkpoint.source} is damaged: its record says {_options(said)}, "
                f"its weights are of {_options({key: inferred[key] for key in wrong})}"
            )
    try:
        with in_proportion(checkpoint.state_dict):
            return build("generator", GENERATORS, checkpoint.generator)
    except Exception as error:  # a record can hold anything, and each network fails in its own way
        raise SRError(
            f"{checkpoint.source} is damaged: no network can be built from its record "
            f"{_options(checkpoint.generator)[:200]} ({(str(error).splitlines() or [type(error).__name__])[0][:100]})"
        ) from error


def _contradicts(said: Any, inferred: Any) -> bool:
    if isinstance(said, Mapping) and isinstance(inferred, Mapping):  # an SR net's, perhaps without its defaults
        return any(said.get(key, value) != value for key, value in inferred.items())
    return not isinstance(inferred, Mapping) and said != inferred


def _options(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in config.items())


def _by_spandrel(checkpoint: Checkpoint) -> nn.Module:
    known = ", ".join(sorted(detector.name for detector in DETECTORS))
    names = list(checkpoint.state_dict)
    found = f"{checkpoint.source}: {len(names)} tensors, the first {', '.join(names[:3])}"
    if importlib.util.find_spec("spandrel") is None:
        raise SRError(
            f"{found}. Supported are {known}; with spandrel, many more: pip install 'sr-experiments[spandrel]'"
        )
    try:
        with in_proportion(checkpoint.state_dict):
            generator = recognised(checkpoint.state_dict)
    except SRError as error:
        raise SRError(f"{checkpoint.source}: {error}") from error
    if generator is None:
        raise SRError(f"{found}. Supported are {known}, and what spandrel reads; this is none of them")
    checkpoint.source = checkpoint.source.replace("unknown network", generator.arch)
    return generator.eval()


# -- reading -----------------------------------------------------------------------------------------------


def _recorded(content: Mapping[str, Any], file: Path) -> dict[str, Any] | None:
    """The generator's configuration as an export has it; None where there is no record."""
    if RECORD not in content:
        return None
    record = content[RECORD]
    generator = record.get("generator") if isinstance(record, Mapping) else None
    if not isinstance(generator, Mapping) or not isinstance(generator.get("name"), str):
        raise SRError(f"{file} is damaged: its record of the generator is incomplete")
    _check_format(record, file)
    return {str(key): value for key, value in generator.items()}


def _check_format(record: Mapping[str, Any], file: Path) -> None:
    if record.get("format") != FORMAT:
        raise SRError(f"{file} has checkpoint format {record.get('format')}, this version reads {FORMAT}: update it")


def _own(content: Mapping[str, Any], file: Path) -> Checkpoint:
    record, state = content[RECORD], content["state_dict"]
    _check_format(record, file)
    if not (isinstance(record.get("generator"), Mapping) and "name" in record["generator"] and "step" in record):
        raise SRError(f"{file} is damaged: its record of the generator is incomplete")
    state = {str(key): value for key, value in state.items()}
    averaged = {k.removeprefix("ema."): v for k, v in state.items() if k.startswith("ema.")}
    raw = {k.removeprefix("generator."): v for k, v in state.items() if k.startswith("generator.")}
    if not raw:
        raise SRError(f"{file} holds no generator weights")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise SRError(f"{file} is damaged: its state_dict holds more than tensors")
    check_plain(state, file)
    words = f"{file.name} (step {record['step']}, {'EMA weights of ' if averaged else ''}{record['generator']['name']})"
    return Checkpoint(averaged or raw, dict(record["generator"]), words, record["step"], raw if averaged else None)


def _unwrap(content: Mapping[str, Any]) -> tuple[StateDict, str]:
    """The innermost mapping of names to tensors, and the key it was under."""
    wrapper = ""
    for _ in WRAPPERS:  # a mapping may contain itself
        inner = next((k for k in WRAPPERS if isinstance(content.get(k), Mapping) and content[k]), None)
        if inner is None:
            break
        content, wrapper = content[inner], inner
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}, wrapper


def _strip(state: StateDict) -> StateDict:
    """The generator alone, without prefixes that all names share; `model.` of ESRGAN's first release stays."""
    for owner in ("generator.", "netG."):
        if any(name.startswith(owner) for name in state):  # beside a discriminator and losses
            state = {name: tensor for name, tensor in state.items() if name.startswith(owner)}
    while True:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None or any(name.startswith("model.1.sub.") for name in state):
            return state
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _basicsr_names(state: StateDict) -> tuple[StateDict, str]:
    """The same weights under BasicSR's names, and what style they were in."""
    rules: tuple[tuple[str, str], ...]
    if any(name.startswith("RRDB_trunk.") for name in state):
        rules, style = NEW_STYLE, "ESRGAN names, "
    elif any(name.startswith("model.1.sub.") for name in state):
        rules, style = OLD_STYLE, "first ESRGAN names, "
    else:
        return state, ""
    renamed = {}
    for name, tensor in state.items():
        new = next((re.sub(pattern, to, name) for pattern, to in rules if re.match(pattern, name)), name)
        renamed[new] = tensor
    return renamed, style
