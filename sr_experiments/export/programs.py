"""Networks as programs: ONNX, torch.export's `.pt2`, TorchScript. Batch, height and width stay free."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sr_experiments.display.logging_setup import quietly
from sr_experiments.errors import SRError
from sr_experiments.export.onnx_fp16 import imitated, to_fp16
from sr_experiments.export.onnx_int8 import EXACT_SUMS, quantise_onnx
from sr_experiments.export.runnable import Run, Runnable
from sr_experiments.export.weights import Facts, as_texts
from sr_experiments.inference.int8 import Quantization
from sr_experiments.packages.extras import install_extra

FACTS_FILE = "sr_experiments.json"
WRITERS_OWN = ("version", ".data/serialization_id")  # torch writes these itself


@dataclass(frozen=True)
class OnnxOptions:
    """What an ONNX file can be asked for.

    Attributes:
        opset: version of ONNX's operators; None for the one that torch recommends.
        inputs: names of the inputs, in the order of `Runnable.inputs`, whose names they have by default.
        outputs: names of the outputs, likewise.
        fp16_images: whether the inputs and outputs of a network in fp16 are fp16 too.
    """

    opset: int | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    fp16_images: bool = False


def write_onnx(
    path: Path,
    network: Runnable,
    options: OnnxOptions | None = None,
    fp16: bool = False,
    int8: Quantization | None = None,
) -> None:
    """Write ONNX; with `fp16`, weights and arithmetic are in fp16.

    With `int8`, these convolutions of a network with dequantised weights are in int8. Inputs and output are images in
    [0, 1], RGB, (N, C, H, W), float32 unless the options say otherwise.

    Raises:
        SRError: a package is missing, or the options can't be fulfilled.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  (compares it, and converts to fp16)
        import onnxscript  # noqa: F401  (used by torch)
    except ModuleNotFoundError as error:
        raise SRError(f"--format onnx needs {error.name}: {install_extra('onnx')}") from error
    options = options or OnnxOptions()
    inputs, outputs = _names(network, options)
    with quietly(), torch.no_grad():
        program = torch.onnx.export(
            network,
            network.example(),
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=network.dynamic_shapes(),
            opset_version=options.opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
        _check(model, options, [*inputs, *outputs])
        if fp16:
            model = to_fp16(model, options.fp16_images)
    if int8 and not quantise_onnx(model, int8):
        raise SRError("none of its convolutions is found again in ONNX: export the checkpoint in fp32")
    _remove_source_code(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def _names(network: Runnable, options: OnnxOptions) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and of the outputs, all different from each other."""
    found = []
    for kind, given, own in (("input", options.inputs, network.inputs), ("output", options.outputs, network.outputs)):
        if given and len(given) != len(own):
            raise SRError(
                f"--{kind}-name given {len(given)} times: this network's {kind}s are {', '.join(own)}, give it "
                f"{len(own)} times, in this order"
            )
        found.append(list(given or own))
    names = [*found[0], *found[1]]
    if "" in names or len(set(names)) < len(names):
        raise SRError(f"inputs and output can't be called {', '.join(map(repr, names))}: give each a name of its own")
    return found[0], found[1]


def _check(model: Any, options: OnnxOptions, names: Sequence[str]) -> None:
    """Refuse a model of another opset than was asked for, which torch writes then, or with a name for two values."""
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    if options.opset not in (None, opset):
        raise SRError(f"--opset {options.opset} can't be had for this network: leave it out, or give {opset}")
    graph = model.graph
    values = [value.name for value in (*graph.input, *graph.initializer)]
    named = Counter([*values, *(name for node in graph.node for name in node.output)])
    for name in names:
        if named[name] > 1:
            raise SRError(f"{name} is also a value inside the network: give another --input-name or --output-name")


def _remove_source_code(model: Any) -> None:
    """Remove what torch records for each node: source code, with its paths on this machine."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (graph, *graph.node, *values, *model.functions, *(n for f in model.functions for n in f.node)):
        del part.metadata_props[:]
        part.ClearField("doc_string")


def add_metadata_to_onnx(path: Path, facts: Facts) -> None:
    """Add the facts to the model's metadata."""
    import onnx

    model = onnx.load_model(path)
    onnx.helper.set_model_props(model, as_texts(facts))
    onnx.save_model(model, path)


def run_onnx(path: Path) -> Run:
    """Load the model in ONNX Runtime, on the CPU."""
    return _run_onnx(str(path))


def run_onnx_as_on_gpu(path: Path) -> Run:
    """Load a model in fp16 in ONNX Runtime, on the CPU, with the rounding and the overflow of a GPU; see `imitated`."""
    import onnx

    return _run_onnx(imitated(onnx.load_model(path)).SerializeToString())


def _run_onnx(model: str | bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT_SUMS)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entries = session.get_inputs()

    def run(*inputs: Tensor) -> Tensor | list[Tensor]:
        given = {
            entry.name: x.numpy().astype(np.float16 if entry.type == "tensor(float16)" else np.float32)
            for entry, x in zip(entries, inputs, strict=True)
        }
        outputs = [torch.from_numpy(array).float() for array in session.run(None, given)]
        return outputs[0] if len(outputs) == 1 else outputs

    return run


def write_exported_program(path: Path, network: Runnable) -> None:
    """Write torch.export's program, for images of at least `network.smallest_size` pixels a side."""
    with quietly():
        program = torch.export.export(network, network.example(), dynamic_shapes=network.dynamic_shapes())
        for part in program.graph_module.modules():
            for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
                node.meta.pop("stack_trace", None)  # holds the paths of this machine
        torch.export.save(program, path)


def run_exported_program(path: Path) -> Run:
    """Load the program in torch."""
    with quietly():
        return torch.export.load(path).module()


def write_torchscript(path: Path, network: Runnable) -> None:
    """Write a traced network, for programs that load TorchScript; torch itself now recommends torch.export.

    Tracing can turn computed sizes into constants; the comparison on several sizes shows this.
    """
    with quietly():
        torch.jit.save(torch.jit.trace(network, network.example(), check_trace=False), str(path))


def run_torchscript(path: Path) -> Run:
    """Load the network in torch."""
    with quietly():
        return torch.jit.load(str(path), map_location="cpu")


def add_metadata_to_torch_program(path: Path, facts: Facts) -> None:
    """Add the facts as its extra file `sr_experiments.json`; remove source code, with its paths on this machine."""
    reader = torch._C.PyTorchFileReader(str(path))
    names = [name for name in reader.get_all_records() if not name.endswith(".debug_pkl") and name not in WRITERS_OWN]
    content = {name: reader.get_record(name) for name in names}
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, data in {**content, f"extra/{FACTS_FILE}": json.dumps(dict(facts)).encode()}.items():
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()
