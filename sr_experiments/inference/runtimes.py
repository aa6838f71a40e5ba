"""Runtimes for a network's layers: PyTorch in eager mode, torch.compile, or, on a CPU, OpenVINO.

All compute the same in the same precision. OpenVINO fuses activations and sums into the convolution before them, and
balances the load among cores that other programs use too. torch.compile (with CUDA graphs on a GPU) takes a minute
to start, and another for each new size of image.
"""

import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor, nn

from sr_experiments.display.logging_setup import quietly
from sr_experiments.errors import SRError
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.compiled import CompiledModel, CompiledNetwork, openvino_core
from sr_experiments.inference.device import computes_in_bf16
from sr_experiments.inference.fast import StripNetwork, in_strips
from sr_experiments.inference.int8 import Quantization, quantise
from sr_experiments.packages.extras import install_extra

log = logging.getLogger(__name__)

RUNTIMES = ("torch", "compile", "openvino")
# Largest allowed difference to torch in fp32, relative to the output. Of int8 it was measured when the network was
# quantised, so that here only nonsense is refused.
ROUNDING = {"fp32": 1e-3, "bf16": 0.05, "int8": 1.0}
FEW_SUMS = 32  # residual sums that may be in bf16 without loss: MSRResNet has 17, RRDBNet 93
PROBES = ((24, 32), (41, 21))  # sizes that a network is tried on


def choose_runtime(name: str, device: torch.device, precision: str) -> str:
    """Return one of RUNTIMES; "auto" is OpenVINO on a CPU where it is installed, torch elsewhere."""
    fits = device.type == "cpu" and precision in ROUNDING
    installed = importlib.util.find_spec("openvino") is not None
    if name == "auto" and precision != "int8":
        return "openvino" if fits and installed else "torch"
    if name not in ("auto", *RUNTIMES):
        raise SRError(f"unknown --runtime {name}: choose one of auto, {', '.join(RUNTIMES)}")
    if name == "openvino" and not fits:
        raise SRError(f"--runtime openvino can't do {precision} on {device}: choose fp32 or bf16 on the CPU, or torch")
    if precision == "int8" and (device.type != "cpu" or name not in ("auto", "openvino") or not installed):
        raise SRError(
            "--precision int8 is done by OpenVINO on a CPU: leave --runtime out, give --device cpu and install it with "
            f"{install_extra('int8')}, or choose another precision"
        )
    if precision == "int8":
        return "openvino"
    if name == "openvino" and not installed:
        raise SRError(f"--runtime openvino needs openvino: {install_extra('openvino')}")
    if name == "compile" and device.type == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
        raise SRError("--runtime compile needs a C++ compiler on a CPU: install g++, or choose torch")
    return name


def compiled_by_openvino(
    network: nn.Module, channels: int, scale: int, precision: str, multiple: int = 1, int8: Quantization | None = None
) -> "OpenVINONetwork | None":
    """Compile a network by OpenVINO, as a whole or, where `in_strips` makes one, as the parts of a `StripNetwork`.

    It maps (N, channels, H, W) to (N, C', scale * H, scale * W), for any H and W that are multiples of `multiple`.
    With precision "int8" the convolutions in `int8` are, and all else is in bf16 where the CPU computes in it.

    Returns:
        None, after a warning, if OpenVINO can't run it or its output differs from torch's by more than rounding.

    Raises:
        SRError: that is so with precision "int8", which torch can't do instead.
    """
    by_torch = in_strips(network.requires_grad_(False), channels, scale)
    parts: list[tuple[Callable[..., Tensor], list[int]]] = [(by_torch, [channels])]
    margin = 0
    if isinstance(by_torch, StripNetwork):
        lr, features = by_torch.channels
        parts = [(by_torch.extract_features, [lr]), (by_torch.reconstruct.network, [features, lr])]
        margin = by_torch.margin
    try:
        models = [_compiled(part, inputs, precision, multiple, int8 or {}) for part, inputs in parts]
    except _Unfit as error:
        if precision == "int8":
            raise SRError(f"OpenVINO can't run this network in int8: {error}") from error
        log.warning("OpenVINO can't run this network, torch does: %s", error)
        return None
    return OpenVINONetwork(CompiledNetwork(models, scale, margin), network, by_torch)


class OpenVINONetwork(nn.Module):
    """A network compiled by OpenVINO as a module, on tensors; float32 in and out.

    Args:
        network: what it is.
        original: the network that it was compiled from.
        by_torch: the same, perhaps in strips.
    """

    def __init__(self, network: CompiledNetwork, original: nn.Module, by_torch: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._originals: tuple[nn.Module, ...] = (original, by_torch)  # not as modules: they are for measuring only
        self._by_torch = False

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run the network, without gradients."""
        if self._by_torch:
            return self._originals[1](*inputs)
        return torch.from_numpy(self.network(*(x.float().contiguous().numpy() for x in inputs)))

    def extract_features(self, lr: Tensor) -> Tensor:
        """Run the first of two parts."""
        if self._by_torch:
            return self._originals[1].extract_features(lr)  # type: ignore[operator]
        return torch.from_numpy(self.network.extract_features(lr.float().numpy()))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Run the second part, on its result."""
        if self._by_torch:
            return self._originals[1].reconstruct(features, lr)  # type: ignore[operator]
        return torch.from_numpy(self.network.reconstruct(features.float().numpy(), lr.float().numpy()))

    def run_by_torch(self) -> None:
        """Let torch do the work, as it would best, until `forget_torch`."""
        original, _ = self._originals
        if isinstance(original, Generator):
            original.optimise_for_cpu()
        self._by_torch = True

    def forget_torch(self) -> None:
        """Run by OpenVINO only, and keep the network's weights no longer."""
        self._originals, self._by_torch = (), False


class _Unfit(Exception):
    """OpenVINO can't run a network."""


def _compiled(
    network: Callable[..., Tensor], channels: Sequence[int], precision: str, multiple: int, int8: Quantization
) -> CompiledModel:
    sizes = [[-(-side // multiple) * multiple for side in size] for size in PROBES]
    random = torch.Generator().manual_seed(1)
    inputs = [[torch.rand(1, count, *size, generator=random) for count in channels] for size in sizes]
    try:
        model = converted(network, inputs, named=precision == "int8")
        compiled = compile_model(model, precision, int8)
        difference = max(_difference(network, compiled, x) for x in inputs)
    except Exception as error:  # the converter raises all kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = next((line.strip("- ") for line in lines if "No conversion rule" in line), lines[0])
        raise _Unfit(reason[:200]) from error
    if difference > ROUNDING[precision]:
        raise _Unfit(f"its output differs by {difference:.2g} from torch's")
    return compiled


def compile_model(model: Any, precision: str, int8: Quantization) -> CompiledModel:
    """Compile an OpenVINO model.

    In bf16 the residual sums of a network of many blocks stay in float32, which takes a fifth more time: rounding each
    of them would cost RRDBNet 5 dB of PSNR against the float32 output, and MSRResNet nothing.
    """
    if precision == "int8":
        quantise(model, int8)
        precision = "bf16" if computes_in_bf16() else "fp32"
    sums = sum(layer.get_type_name() == "Add" for layer in model.get_ops())
    if precision == "bf16" and sums > FEW_SUMS:
        model = _sums_in_fp32(model)
    return CompiledModel(model, precision, torch.get_num_threads())


def converted(network: Callable[..., Tensor], examples: Sequence[Sequence[Tensor]], named: bool = True) -> Any:
    """Return a network as OpenVINO's model, in fp32, for inputs (N, C, H, W) of any N, H and W.

    Args:
        network: any callable on tensors that can be traced.
        examples: its inputs in several sizes.
        named: whether the weights keep their names, which takes a second, because torch then makes a second network
            of modules; else none of them may require gradients.
    """
    openvino_core()
    import openvino as ov
    from openvino.frontend.pytorch import ConversionExtension

    def without_names(*inputs: Tensor) -> Tensor:
        return network(*inputs)

    example = tuple(examples[0])
    own = [ConversionExtension("aten::pixel_shuffle", _pixel_shuffle)]
    script = traced(network if named else without_names, example)
    with quietly(), torch.inference_mode():
        model = ov.convert_model(script, example_input=example, extension=own)
    for inputs in examples:  # raises for inconsistent sizes, which in inference would overwrite memory
        model.reshape({i: list(x.shape) for i, x in enumerate(inputs)})
    model.reshape({i: [-1, x.shape[1], -1, -1] for i, x in enumerate(example)})
    return model


def traced(network: Callable[..., Tensor], example: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """Return a network in TorchScript; one that is in it already stays as it is."""
    if isinstance(network, torch.jit.ScriptModule):
        return network
    with quietly(), torch.inference_mode():
        return torch.jit.trace(network, tuple(example), check_trace=False)


def _pixel_shuffle(node: Any) -> list[Any]:
    """Convert to OpenVINO's own operation: the default are three, which take a tenth of MSRResNet's `reconstruct`."""
    from openvino import opset13

    factor = node.get_values_from_const_input(1, None, int)
    return opset13.depth_to_space(node.get_input(0), "depth_first", factor).outputs()


def _sums_in_fp32(model: Any) -> Any:
    """Mark sums and products to stay in float32, which only OpenVINO's file format can express."""
    import openvino as ov

    with tempfile.TemporaryDirectory(prefix="sr_openvino_") as folder:
        file = Path(folder, "model.xml")
        ov.save_model(model, file, compress_to_fp16=False)
        tree = ElementTree.parse(file)
        for layer in tree.iter("layer"):
            if layer.get("type") in ("Add", "Multiply"):
                marks = layer.find("rt_info")
                if marks is None:
                    marks = ElementTree.Element("rt_info")
                    layer.insert(0 if layer.find("data") is None else 1, marks)
                ElementTree.SubElement(marks, "attribute", name="precise", version="0")
        tree.write(file)
        return openvino_core().read_model(file)


@torch.inference_mode()
def _difference(network: Callable[..., Tensor], compiled: CompiledModel, inputs: Sequence[Tensor]) -> float:
    """Return the largest difference of the outputs, relative to the largest value above 1; infinite if sizes differ."""
    expected, found = network(*inputs), torch.from_numpy(compiled(*(x.numpy() for x in inputs)))
    if expected.shape != found.shape or not found.isfinite().all():
        return float("inf")
    return float((expected - found).abs().max() / expected.abs().max().clamp(min=1))
