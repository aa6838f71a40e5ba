"""`sr export`: write a network in another format, compare its output, add metadata, rename the file."""

import importlib.util
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import FORMAT, Checkpoint
from sr_experiments.errors import SRError, first_line
from sr_experiments.export import ncnn, programs, weights
from sr_experiments.export.onnx_int8 import EXACT_SUMS
from sr_experiments.export.programs import OnnxOptions
from sr_experiments.export.runnable import Run, Runnable, Size, largest_difference
from sr_experiments.files.writing import give_usual_mode, writing_failed
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.generators.rrdbnet import RRDBNet
from sr_experiments.generators.spandrel_arch import FIXED_SIZES
from sr_experiments.quantization.file import holds_int8
from sr_experiments.quantization.file import read as read_int8
from sr_experiments.quantization.network import QuantizedNetwork, reading_levels

log = logging.getLogger(__name__)

EXTENSIONS = {
    ".safetensors": "safetensors",
    ".pth": "pth",
    ".pt": "pth",
    ".onnx": "onnx",
    ".pt2": "exported_program",
    ".ts": "torchscript",
    ".torchscript": "torchscript",
    ".param": "ncnn",
}
PROGRAMS = ("onnx", "exported_program", "torchscript", "ncnn")
DEPENDS_ON_SIZE = (
    "its layers depend on the size of the image in ways that the exporter fixes; "
    "export its weights, -o name.safetensors"
)
# Largest difference of values in [0, 1] by precision. Of int8 it is to its imitation in PyTorch: where the two round a
# value to two levels, the difference goes on through the network.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.05}
NEED_PLUGIN = ("msrresnet", "srresnet")  # networks that spandrel reads with this project's plug-in


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        file: its path; of ncnn the `.param`, with the `.bin` beside it.
        kind: its format, one of the values of EXTENSIONS.
        precision: "fp32", "fp16" or "int8".
        differences: largest absolute difference to the original, values in [0, 1], by runtime.
        sizes: (batch, height, width) of the LR images that were compared.
        generator: registry name and arguments, where known.
        source: the checkpoint that it was made from, for messages.
    """

    file: Path
    kind: str
    precision: str
    differences: dict[str, float]
    sizes: tuple[Size, ...]
    generator: dict[str, Any] | None
    source: str

    @property
    def files(self) -> list[Path]:
        """Return all files that were written."""
        return files_of(self.file, self.kind)

    @property
    def advice(self) -> str:
        """What programs need for this file; empty if they need nothing.

        chaiNNer and ComfyUI read weights by spandrel. Nothing helps them to use networks of bands.
        """
        if self.precision == "int8":
            entry = "=".join(EXACT_SUMS)
            return f"set {entry} in ONNX Runtime's session options: else pixels can be wrong on CPUs without VNNI"
        name, channels = (self.generator or {}).get("name"), (self.generator or {}).get("channels", 3)
        if channels in (1, 3) and self.kind in ("safetensors", "pth") and name in NEED_PLUGIN:
            return (
                f"chaiNNer and ComfyUI read {name} only where sr_experiments.export.spandrel_plugin is imported; "
                f"chaiNNer also opens an export to {self.file.stem}.onnx or, for ncnn, to {self.file.stem} as it is"
            )
        return ""


def export(
    checkpoint: Path,
    file: Path,
    kind: str | None = None,
    precision: str | None = None,
    overwrite: bool = False,
    name: str = "",
    onnx: OnnxOptions | None = None,
) -> Exported:
    """Write the network of a checkpoint, as for `checkpoints.reading.read`, as `file`.

    Args:
        checkpoint: run folder or file of weights; or a file of `sr quantize`, which is in int8.
        file: to write.
        kind: one of EXTENSIONS' values, by default that of the file's extension.
        precision: "fp32", which is the default, "fp16" for weights and ONNX, or "int8" for ONNX, which quantises the
            network if the checkpoint isn't in int8.
        overwrite: replace an existing file.
        name: the network's, for the file's metadata; by default that of the file.
        onnx: what is asked of an ONNX file.

    Raises:
        SRError: unknown format, a format that contradicts the file's extension, options that don't fit together, a
            network that can't be exported, or one whose output differs after it: then no file is written.
    """
    file, checkpoint = file.expanduser(), checkpoint.expanduser()
    quantised = holds_int8(checkpoint)
    precision = precision or ("int8" if quantised else "fp32")
    kind = check_output(file, kind, precision, overwrite, onnx)
    file = files_of(file, kind)[0]
    if quantised and precision != "int8":
        raise SRError(f"{checkpoint} is in int8: leave --precision out, or give the checkpoint that it was made from")
    if quantised:
        return _write_int8(read_int8(checkpoint), file, name, onnx)
    generator, found = load_generator(checkpoint)
    if precision != "int8":
        return write_network(generator, found, file, kind, precision, name, onnx)
    # Here, since it imports much that other precisions don't need.
    from sr_experiments.quantization.cache import made_once
    from sr_experiments.quantization.pictures import run_folder

    network = made_once(generator, found, run_folder(checkpoint))
    return _write_int8(network, file, name, onnx, f"int8 of {found.source}")


def _write_int8(
    quantized: QuantizedNetwork, file: Path, name: str, onnx: OnnxOptions | None, source: str = ""
) -> Exported:
    """Write a network in int8 as ONNX, and compare it with PyTorch's imitation of int8."""
    source = source or str(quantized.facts["file"])
    found = Checkpoint({}, quantized.config, source)
    network = Runnable(quantized.generator.requires_grad_(False))
    sizes = network.sizes(all_sizes=True)
    with _temporary_beside(file) as temporary, _failing_in_one_line(file, source, "onnx"):
        programs.write_onnx(temporary, network, onnx, int8=quantized.layers)
        with reading_levels(quantized.generator, quantized.layers):
            differences = {"ONNX Runtime": largest_difference(network, programs.run_onnx(temporary), sizes)}
        _check_differences(file, "onnx", "int8", differences)
        facts = {"name": name or file.stem, **_facts(found, network, "onnx", "int8", onnx)}
        programs.add_metadata_to_onnx(temporary, _with_comparison(facts, differences, sizes))
    return Exported(file, "onnx", "int8", differences, sizes, quantized.config, source)


def check_output(file: Path, kind: str | None, precision: str, overwrite: bool, onnx: OnnxOptions | None = None) -> str:
    """Return the kind of file to write; arguments and errors as of `export`."""
    implied = EXTENSIONS.get(file.suffix.lower())
    kind = kind or implied or ("" if file.suffix else "ncnn")
    if kind not in EXTENSIONS.values():
        raise SRError(f"{file}: choose an extension of {' '.join(EXTENSIONS)}, or --format")
    # Such a file could not be read again.
    if implied != kind and (implied or kind == "safetensors" or (kind == "ncnn" and file.suffix)):
        fitting = " or ".join(extension for extension, of in EXTENSIONS.items() if of == kind)
        raise SRError(f"{file} has not the extension of --format {kind}: name it {file.stem}{fitting}")
    if file.is_dir():
        raise SRError(f"{file} is a folder: give a file name")
    for written in files_of(file, kind):
        if written.exists() and not overwrite:
            raise SRError(f"{written} exists: give --overwrite to replace")
    if precision == "fp16" and kind in ("exported_program", "torchscript"):
        raise SRError("--precision fp16 is for weights, ONNX and ncnn: cast a program where it is run")
    if precision == "int8" and kind != "onnx":
        raise SRError(
            f"only ONNX can hold int8: name it {file.stem}.onnx, or choose another --precision; sr quantize "
            "writes it for sr upscale"
        )
    if onnx not in (None, OnnxOptions()) and kind != "onnx":
        raise SRError(
            "--opset, --input-name, --output-name and --fp16-images are for ONNX: leave them out, or name it "
            f"{file.stem}.onnx"
        )
    if onnx is not None and onnx.fp16_images and precision != "fp16":
        raise SRError("--fp16-images is for --precision fp16: give both, or none")
    return kind


def files_of(file: Path, kind: str) -> list[Path]:
    """Return the files that an export to `file` writes; of ncnn these are two, whose extension may be left out."""
    return [file.with_suffix(".param"), file.with_suffix(".bin")] if kind == "ncnn" else [file]


def write_network(
    generator: Generator,
    found: Checkpoint,
    file: Path,
    kind: str,
    precision: str = "fp32",
    name: str = "",
    onnx: OnnxOptions | None = None,
) -> Exported:
    """Write a generator, and what its checkpoint said of it; other arguments and errors as of `export`."""
    if kind in ("onnx", "exported_program") and getattr(generator, "arch_id", "") in FIXED_SIZES:
        raise SRError(f"{found.source} can't be exported as {kind}: {DEPENDS_ON_SIZE}")
    if kind in PROGRAMS and generator.sampling:
        raise SRError(
            f"{found.source} can't be exported as {kind}: its noise depends on the place in the image; "
            "export its weights, -o name.safetensors"
        )
    if kind in PROGRAMS and isinstance(generator, RecurrentGenerator) and generator.lookahead:
        raise SRError(
            f"{found.source} can't be exported as {kind}: it waits for later frames (lookahead={generator.lookahead}); "
            "export its weights, -o name.safetensors"
        )
    network = Runnable(generator.requires_grad_(False))
    with _temporary_beside(file) as temporary, _failing_in_one_line(file, found.source, kind):
        facts = {"name": name or file.stem, **_facts(found, network, kind, precision, onnx)}
        sizes = network.sizes(all_sizes=kind != "exported_program")
        if kind in PROGRAMS:
            differences = _write_program(temporary, kind, network, precision, facts, sizes, onnx)
        else:
            differences = _write_weights(temporary, kind, network, found, precision, facts, sizes)
        _check_differences(file, kind, precision, differences)
    if kind == "ncnn":
        ncnn.check_for_upscayl(file, network.scale, network.channels)
        if found.bits == "float":
            log.warning(
                "%s can't say data.bits=float: sr upscale will give it images of 8 and 16 bits, EXR as sRGB; for "
                "floating-point numbers, export .safetensors",
                file,
            )
    return Exported(file, kind, precision, differences, sizes, found.generator, found.source)


@contextmanager
def _failing_in_one_line(file: Path, source: str, kind: str) -> Iterator[None]:
    """Context in which errors of exporters and runtimes become an SRError: each fails in its own way."""
    try:
        yield
    except SRError:
        raise
    except Exception as error:
        failed = writing_failed(file, error)
        reason = first_line(error)
        if "Constraints violated" in reason or "Got invalid dimensions" in reason:
            reason = DEPENDS_ON_SIZE
        raise failed or SRError(f"{source} can't be exported as {kind}: {reason[:200]}") from error


def _check_differences(file: Path, kind: str, precision: str, differences: Mapping[str, float]) -> None:
    for runtime, difference in differences.items():
        if not difference <= TOLERANCE[precision]:
            why = (
                f": perhaps {DEPENDS_ON_SIZE}"
                if kind in PROGRAMS and (precision == "fp32" or difference == inf)
                else ""
            )
            raise SRError(
                f"{file} not written: in {runtime} its output differs from the original by {difference:.2g}, "
                f"more than {TOLERANCE[precision]:g}{why}"
            )


def _write_weights(
    path: Path,
    kind: str,
    network: Runnable,
    found: Checkpoint,
    precision: str,
    facts: weights.Facts,
    sizes: tuple[Size, ...],
) -> dict[str, float]:
    """Write the weights, with the facts and the result of the comparison as metadata; return the differences."""
    write, half = weights.write_safetensors if kind == "safetensors" else weights.write_pth, precision == "fp16"
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


def _write_program(
    path: Path,
    kind: str,
    network: Runnable,
    precision: str,
    facts: weights.Facts,
    sizes: tuple[Size, ...],
    onnx: OnnxOptions | None,
) -> dict[str, float]:
    """Write a program, with the facts and the result of the comparison as metadata; return the differences."""
    fp16 = precision == "fp16"
    write_onnx = partial(programs.write_onnx, options=onnx, fp16=fp16)
    formats: dict[str, tuple[str, Callable[[Path, Runnable], None], Callable[[Path], Run]]] = {
        "onnx": ("ONNX Runtime", write_onnx, programs.run_onnx),
        "exported_program": ("torch.export", programs.write_exported_program, programs.run_exported_program),
        "torchscript": ("TorchScript", programs.write_torchscript, programs.run_torchscript),
        "ncnn": ("ncnn", partial(ncnn.write_ncnn, fp16=fp16), ncnn.run_ncnn),
    }
    runtime, write, run = formats[kind]
    write(path, network)
    differences = {runtime: largest_difference(network, run(path), sizes)}
    if kind == "ncnn":  # its files have no place for facts
        return differences
    if fp16:
        differences[f"{runtime} as on a GPU"] = largest_difference(network, programs.run_onnx_as_on_gpu(path), sizes)
    add_metadata = programs.add_metadata_to_onnx if kind == "onnx" else programs.add_metadata_to_torch_program
    add_metadata(path, _with_comparison(facts, differences, sizes))
    return differences


def _with_comparison(facts: weights.Facts, differences: dict[str, float], sizes: tuple[Size, ...]) -> weights.Facts:
    return {**facts, "compared": json.dumps({"largest_difference": differences, "sizes": sizes})}


def _spandrel_knows(generator: dict[str, Any]) -> bool:
    """Tell whether spandrel, with the plug-in, reads the weights.

    Its RRDBNet always has a growth of 32, its NAFNet always a scale of 1, its Compact no interpolation.
    """
    name = generator.get("name")
    if name == "rrdbnet":
        return generator.get("growth", 32) == 32
    if name == "unet":
        return generator.get("scale") == 1
    if generator.get("inner_scale"):  # Compact followed by an interpolation
        return False
    return name in (None, "spandrel", "msrresnet", "srresnet", "compact")


def _flat(state: weights.StateDict, half: bool) -> weights.StateDict:
    """Return the weights under other programs' names, in fp16 if `half`."""
    by_spandrel = all(name.startswith("net.") for name in state)
    flat = {name.removeprefix("net.") if by_spandrel else name: tensor.clone() for name, tensor in state.items()}
    return {name: tensor.half() if half and tensor.is_floating_point() else tensor for name, tensor in flat.items()}


def _facts(found: Checkpoint, network: Runnable, kind: str, precision: str, onnx: OnnxOptions | None) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if found.generator:
        facts["sr_experiments"] = {"format": FORMAT, "generator": found.generator, "bits": found.bits}
    facts["source"] = found.source
    if found.step is not None:
        facts["step"] = str(found.step)
    facts |= {
        "scale": str(network.scale),
        "images": {3: "RGB, float in [0, 1], (N, C, H, W)", 1: "grey, float in [0, 1], (N, 1, H, W)"}.get(
            network.channels, f"{network.channels} bands, float in [0, 1], (N, C, H, W)"
        ),
        "precision": precision,
        "inputs": ", ".join((onnx and onnx.inputs) or network.inputs),
        "outputs": ", ".join((onnx and onnx.outputs) or network.outputs),
    }
    if kind == "exported_program":
        facts["sizes"] = f"at least {network.smallest_size} x {network.smallest_size}"
    return facts


@contextmanager
def _temporary_beside(file: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside `file`; all files there move if nothing raises."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
            temporary = Path(folder, file.name)
            yield temporary
            for written in sorted(Path(folder).iterdir()):  # of ncnn the .bin before the .param
                give_usual_mode(written)
                written.replace(file.with_name(written.name))
    except FileExistsError as error:
        raise SRError(f"cannot write {file}: {file.parent} is not a folder") from error
    except OSError as error:
        raise writing_failed(file, error) or error from error
