"""`sr export`: write a network in another format, compare its output, add metadata, rename the file."""

import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import FORMAT, Checkpoint
from sr_experiments.errors import SRError, first_line
from sr_experiments.export import programs, weights
from sr_experiments.export.runnable import Run, Runnable, Size, largest_difference
from sr_experiments.files import writing_failed
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.rrdbnet import RRDBNet
from sr_experiments.generators.spandrel_arch import FIXED_SIZES
from sr_experiments.quantization.file import holds_int8
from sr_experiments.quantization.file import read as read_int8
from sr_experiments.quantization.network import QuantizedNetwork, reading_levels

EXTENSIONS = {
    ".safetensors": "safetensors",
    ".pth": "pth",
    ".pt": "pth",
    ".onnx": "onnx",
    ".pt2": "exported_program",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
}
PROGRAMS = ("onnx", "exported_program", "torchscript")
DEPENDS_ON_SIZE = (
    "its layers depend on the size of the image in ways that the exporter fixes; "
    "export its weights, -o name.safetensors"
)
TOLERANCE_OF_INT8 = 0.05  # where two runtimes round a value to two levels, the difference goes on through the network
TOLERANCE = {False: 1e-4, True: 2e-2}  # largest difference of values in [0, 1], in fp32 and in fp16


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        kind: its format, one of the values of EXTENSIONS.
        half: whether its weights are fp16.
        differences: largest absolute difference to the original, values in [0, 1], by runtime.
        sizes: (batch, height, width) of the LR images that were compared.
        generator: registry name and arguments, where known.
        source: the checkpoint that it was made from, for messages.
    """

    file: Path
    kind: str
    half: bool
    differences: dict[str, float]
    sizes: tuple[Size, ...]
    generator: dict[str, Any] | None
    source: str


def export(
    checkpoint: Path, file: Path, kind: str | None = None, half: bool = False, overwrite: bool = False, name: str = ""
) -> Exported:
    """Write the network of a checkpoint, as for `checkpoints.reading.read`, as `file`.

    The kind is one of EXTENSIONS' values, by default that of the file's extension; `half` stands for weights in fp16.
    The name is the network's, for the file's metadata; by default that of the file.

    Raises:
        SRError: unknown format, a format that contradicts the file's extension, a network that can't be exported, or
            one whose output differs after it: then no file is written.
    """
    file = file.expanduser()
    kind = check_output(file, kind, half, overwrite)
    if holds_int8(checkpoint.expanduser()):
        if kind != "onnx" or half:
            raise SRError(
                f"{checkpoint} is in int8, which only ONNX can hold: name it {file.stem}.onnx, without --fp16"
            )
        return _write_int8(read_int8(checkpoint.expanduser()), file, name)
    return write_network(*load_generator(checkpoint), file, kind, half, name)


def _write_int8(quantized: QuantizedNetwork, file: Path, name: str) -> Exported:
    """Write a network of `sr quantize` as ONNX, and compare it with PyTorch's imitation of int8."""
    source = str(quantized.facts["file"])
    found = Checkpoint({}, quantized.config, source)
    network = Runnable(quantized.generator.requires_grad_(False))
    sizes = network.sizes(all_sizes=True)
    with _temporary_beside(file) as temporary:
        programs.write_onnx(temporary, network, False, quantized.layers)
        with reading_levels(quantized.generator, quantized.layers):
            differences = {"ONNX Runtime": largest_difference(network, programs.run_onnx(temporary), sizes)}
        if not differences["ONNX Runtime"] <= TOLERANCE_OF_INT8:
            raise SRError(
                f"{file} not written: in ONNX Runtime its output differs by {differences['ONNX Runtime']:.2g}, more "
                f"than {TOLERANCE_OF_INT8:g}"
            )
        facts = {"name": name or file.stem, **_facts(found, network, "onnx", False), "precision": "int8"}
        programs.add_metadata_to_onnx(temporary, _with_comparison(facts, differences, sizes))
    return Exported(file, "onnx", False, differences, sizes, quantized.config, source)


def check_output(file: Path, kind: str | None, half: bool, overwrite: bool) -> str:
    """Return the kind of file to write; arguments and errors as of `export`."""
    implied = EXTENSIONS.get(file.suffix.lower())
    kind = kind or implied or ""
    if kind not in EXTENSIONS.values():
        raise SRError(f"{file}: choose an extension of {' '.join(EXTENSIONS)}, or --format")
    if implied != kind and (implied or kind == "safetensors"):  # such a file could not be read again
        fitting = " or ".join(extension for extension, of in EXTENSIONS.items() if of == kind)
        raise SRError(f"{file} has not the extension of --format {kind}: name it {file.stem}{fitting}")
    if file.is_dir():
        raise SRError(f"{file} is a folder: give a file name")
    if file.exists() and not overwrite:
        raise SRError(f"{file} exists: give --overwrite to replace")
    if half and kind in ("exported_program", "torchscript"):
        raise SRError("--fp16 is for weights and ONNX: cast a program where it is run")
    return kind


def write_network(
    generator: Generator, found: Checkpoint, file: Path, kind: str, half: bool = False, name: str = ""
) -> Exported:
    """Write a generator, and what its checkpoint said of it; other arguments and errors as of `export`."""
    if kind in ("onnx", "exported_program") and getattr(generator, "arch_id", "") in FIXED_SIZES:
        raise SRError(f"{found.source} can't be exported as {kind}: {DEPENDS_ON_SIZE}")
    if kind in PROGRAMS and generator.sampling:
        raise SRError(
            f"{found.source} can't be exported as {kind}: its noise depends on the place in the image; "
            "export its weights, -o name.safetensors"
        )
    network = Runnable(generator.requires_grad_(False))
    with _temporary_beside(file) as temporary:
        try:
            facts = {"name": name or file.stem, **_facts(found, network, kind, half)}
            sizes = network.sizes(all_sizes=kind != "exported_program")
            differences = _write(temporary, kind, network, found, half, facts, sizes)
        except SRError:
            raise
        except Exception as error:  # each exporter fails in its own way
            failed = writing_failed(file, error)
            reason = first_line(error)
            if "Constraints violated" in reason or "Got invalid dimensions" in reason:
                reason = DEPENDS_ON_SIZE
            raise failed or SRError(f"{found.source} can't be exported as {kind}: {reason[:200]}") from error
        for runtime, difference in differences.items():
            if not difference <= TOLERANCE[half]:
                why = f": perhaps {DEPENDS_ON_SIZE}" if kind in PROGRAMS and not half else ""
                raise SRError(
                    f"{file} not written: in {runtime} its output differs from the original by {difference:.2g}, "
                    f"more than {TOLERANCE[half]:g}{why}"
                )
    return Exported(file, kind, half, differences, sizes, found.generator, found.source)


def _write(
    path: Path,
    kind: str,
    network: Runnable,
    found: Checkpoint,
    half: bool,
    facts: weights.Facts,
    sizes: tuple[Size, ...],
) -> dict[str, float]:
    """Write the file, with the facts and the result of the comparison in its metadata; return the differences."""
    if kind in ("safetensors", "pth"):
        write = weights.write_safetensors if kind == "safetensors" else weights.write_pth
        best, raw = _flat(network.generator.state_dict(), half), None if found.raw is None else _flat(found.raw, half)
        write(path, best, raw, facts)
        differences = {"sr_experiments": largest_difference(network, weights.run_weights(path), sizes)}
        if _spandrel_knows(found.generator or {}) and importlib.util.find_spec("spandrel"):
            # With a pixel-unshuffle, spandrel pads RRDBNet to multiples of 4 and has other borders for other sizes.
            unshuffles = isinstance(network.generator, RRDBNet) and network.generator.fold > 1
            fitting = [size for size in sizes if size[1] % 4 == size[2] % 4 == 0] if unshuffles else sizes
            runtime = "spandrel (multiples of 4)" if unshuffles else "spandrel"
            differences[runtime] = largest_difference(network, weights.run_in_spandrel(path), fitting)
        write(path, best, raw, _with_comparison(facts, differences, sizes))
        return differences
    formats: dict[str, tuple[str, Callable[[Path, Runnable], None], Callable[[Path], Run]]] = {
        "onnx": ("ONNX Runtime", partial(programs.write_onnx, half=half), programs.run_onnx),
        "exported_program": ("torch.export", programs.write_exported_program, programs.run_exported_program),
        "torchscript": ("TorchScript", programs.write_torchscript, programs.run_torchscript),
    }
    runtime, write_program, run = formats[kind]
    write_program(path, network)
    differences = {runtime: largest_difference(network, run(path), sizes)}
    add_metadata = programs.add_metadata_to_onnx if kind == "onnx" else programs.add_metadata_to_torch_program
    add_metadata(path, _with_comparison(facts, differences, sizes))
    return differences


def _with_comparison(facts: weights.Facts, differences: dict[str, float], sizes: tuple[Size, ...]) -> weights.Facts:
    return {**facts, "compared": json.dumps({"largest_difference": differences, "sizes": sizes})}


def _spandrel_knows(generator: dict[str, Any]) -> bool:
    """Tell whether spandrel, with the plug-in, reads the weights.

    Its RRDBNet always has a growth of 32, its NAFNet always a scale of 1.
    """
    name = generator.get("name")
    if name == "rrdbnet":
        return generator.get("growth", 32) == 32
    if name == "unet":
        return generator.get("scale") == 1
    return name in (None, "spandrel", "msrresnet", "srresnet", "compact")


def _flat(state: weights.StateDict, half: bool) -> weights.StateDict:
    """Return the weights under other programs' names, in fp16 if `half`."""
    by_spandrel = all(name.startswith("net.") for name in state)
    flat = {name.removeprefix("net.") if by_spandrel else name: tensor.clone() for name, tensor in state.items()}
    return {name: tensor.half() if half and tensor.is_floating_point() else tensor for name, tensor in flat.items()}


def _facts(found: Checkpoint, network: Runnable, kind: str, half: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if found.generator:
        facts["sr_experiments"] = {"format": FORMAT, "generator": found.generator}
    facts["source"] = found.source
    if found.step is not None:
        facts["step"] = str(found.step)
    facts |= {
        "scale": str(network.scale),
        "images": "RGB, float in [0, 1], (N, C, H, W)"
        if network.channels == 3
        else "grey, float in [0, 1], (N, 1, H, W)",
        "precision": "fp16" if half else "fp32",
        "inputs": ", ".join(network.inputs),
        "outputs": ", ".join(network.outputs),
    }
    if kind == "exported_program":
        facts["sizes"] = f"at least {network.smallest_size} x {network.smallest_size}"
    return facts


@contextmanager
def _temporary_beside(file: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside `file`; moved to `file` if nothing raises."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
            temporary = Path(folder, file.name)
            yield temporary
            temporary.replace(file)
    except FileExistsError as error:
        raise SRError(f"cannot write {file}: {file.parent} is not a folder") from error
    except OSError as error:
        raise writing_failed(file, error) or error from error
