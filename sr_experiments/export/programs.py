"""Networks as programs: ONNX, torch.export's `.pt2`, TorchScript. Batch, height and width stay free."""

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sr_experiments.errors import SRError
from sr_experiments.export.runnable import Run, Runnable
from sr_experiments.export.weights import Facts, as_texts

FACTS_FILE = "sr_experiments.json"


def write_onnx(path: Path, network: Runnable, half: bool) -> None:
    """ONNX in torch's newest opset; with `half`, weights and arithmetic in fp16.

    Inputs and outputs are float32 in [0, 1], RGB, (N, C, H, W), in either case.

    Raises:
        SRError: the packages for it are missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (used by torch)
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
    except ModuleNotFoundError as error:
        raise SRError(f'--format onnx needs {error.name}: pip install "sr-experiments[onnx]"') from error
    with _quietly():
        program = torch.onnx.export(
            network,
            network.example(),
            input_names=list(network.inputs),
            output_names=["sr"],
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
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def seal_onnx(path: Path, facts: Facts) -> None:
    """Add the facts to the model's metadata."""
    import onnx

    model = onnx.load_model(path)
    onnx.helper.set_model_props(model, as_texts(facts))
    onnx.save_model(model, path)


def run_onnx(path: Path) -> Run:
    """The model in ONNX Runtime, on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))[0])

    return run


def write_exported_program(path: Path, network: Runnable, half: bool) -> None:
    """torch.export's program.

    It takes multiples of the network's block only: torch.export can't follow padding by the size of the input.
    """
    _refuse(half)
    with _quietly():
        program = torch.export.export(network, network.example(), dynamic_shapes=network.dynamic_shapes(network.block))
        torch.export.save(program, path)


def seal_exported_program(path: Path, facts: Facts) -> None:
    """Add the facts as its file `sr_experiments.json`."""
    with _quietly():
        torch.export.save(torch.export.load(path), path, extra_files={FACTS_FILE: json.dumps(dict(facts))})


def run_exported_program(path: Path) -> Run:
    """The program, loaded by torch."""
    with _quietly():
        return torch.export.load(path).module()


def write_torchscript(path: Path, network: Runnable, half: bool) -> None:
    """A traced network, for programs that load TorchScript; torch itself advises torch.export now.

    Tracing can make constants of sizes that are computed on the way; the comparison on several sizes refuses such.
    """
    _refuse(half)
    with _quietly():
        torch.jit.save(torch.jit.trace(network, network.example(), check_trace=False), str(path))


def seal_torchscript(path: Path, facts: Facts) -> None:
    """Add the facts as its file `sr_experiments.json`."""
    with _quietly():
        program = torch.jit.load(str(path), map_location="cpu")
        torch.jit.save(program, str(path), _extra_files={FACTS_FILE: json.dumps(dict(facts))})


def run_torchscript(path: Path) -> Run:
    """The network, loaded by torch."""
    with _quietly():
        return torch.jit.load(str(path), map_location="cpu")


def _refuse(half: bool) -> None:
    if half:
        raise SRError("--fp16 is for weights and ONNX: cast a program where it is run")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch's exporters tell on the way; what fails still raises."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
