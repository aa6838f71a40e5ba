"""Networks as programs: ONNX, torch.export's `.pt2`, TorchScript. Batch, height and width stay free."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sr_experiments.errors import SRError
from sr_experiments.export.onnx_int8 import quantise_onnx
from sr_experiments.export.runnable import Run, Runnable
from sr_experiments.export.weights import Facts, as_texts
from sr_experiments.inference.int8 import Quantization
from sr_experiments.logging_setup import quietly

FACTS_FILE = "sr_experiments.json"
WRITERS_OWN = ("version", ".data/serialization_id")  # torch writes these itself


def write_onnx(path: Path, network: Runnable, half: bool, int8: Quantization | None = None) -> None:
    """Write ONNX in the opset that torch recommends; with `half`, weights and arithmetic in fp16.

    With `int8`, these convolutions of a network with dequantised weights are in int8. Inputs and outputs are float32
    in [0, 1], RGB, (N, C, H, W), in any case.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (used by torch)
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
    except ModuleNotFoundError as error:
        raise SRError(f'--format onnx needs {error.name}: pip install "sr-experiments[onnx]"') from error
    with quietly():
        program = torch.onnx.export(
            network,
            network.example(),
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamic_shapes=network.dynamic_shapes(),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
        if half:
            halved = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
            halved.topological_sort()
            model = halved.model
    if int8 and not quantise_onnx(model, int8):
        raise SRError("none of its convolutions is found again in ONNX: export the checkpoint in fp32")
    _remove_source_code(model)
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


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
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor | list[Tensor]:
        arrays = session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))
        outputs = [torch.from_numpy(array) for array in arrays]
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
