"""Read networks of ncnn, a `.param` and a `.bin`: RRDBNet and Compact, as Upscayl and Real-ESRGAN's programs use.

Formats: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure. The layers are turned into one expression,
which must be that of RRDBNet or Compact; nothing is computed until then.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sr_experiments.checkpoints.detection import detect
from sr_experiments.checkpoints.key_styles import StateDict
from sr_experiments.checkpoints.places import bin_of
from sr_experiments.errors import SRError

FIRST_ARRAY = -23300  # the array of number n is written under this less n
MOST_BYTES = 2**22  # of a .param: RRDBNet with 23 blocks has 120 kB
FP32, FP16 = (0, 0x0002C056), 0x01306B47  # what stands before a convolution's weights
ADD, MULTIPLY = 0, 2  # of BinaryOp
SUM = 1  # of Eltwise
NEAREST, BICUBIC = 1, 3  # of Interp
REPLICATE = 1  # of Padding
GEOMETRY = ((1, 11, 0), (2, 12, 1), (3, 13, 1))  # of Convolution: numbers of width and height, default of both
SCALES = (4, 3, 2, 1)

Expression = tuple[Any, ...]


@dataclass(frozen=True)
class Layer:
    """A line of a `.param`: names of its inputs and outputs, and parameters and arrays by their numbers."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[int, float]
    arrays: dict[int, tuple[float, ...]]


def read_ncnn(param: Path) -> tuple[StateDict, dict[str, Any], Path]:
    """Return the weights under BasicSR's names, the generator's registry name and arguments, and the `.bin`.

    Raises:
        SRError: there is no `.bin`, it is not the one of this `.param`, either is damaged, or of another network.
    """
    layers = _parse(param)
    found = _recognise(layers)
    if found is None:
        counted = ", ".join(f"{count} {kind}" for kind, count in Counter(layer.kind for layer in layers).most_common(8))
        raise SRError(
            f"{param} is of another network than RRDBNet or Compact, which alone are read from ncnn: it has "
            f"{counted[:200]}; give the .pth or .safetensors that it was made from"
        )
    names, scale, inner_scale = found
    weights = bin_of(param)
    state = _weights(layers, names, weights)
    generator = detect(state)
    if generator is None or generator["scale"] != inner_scale:
        raise SRError(f"{param} is damaged: the sizes of its layers do not fit each other")
    reduced = {"scale": scale, "inner_scale": inner_scale} if scale < inner_scale else {}
    return state, generator | reduced, weights


def _parse(param: Path) -> list[Layer]:
    """Read the layers, and check that each has the inputs and outputs that it counts."""
    if param.stat().st_size > MOST_BYTES:
        raise SRError(f"{param} refused: {param.stat().st_size} bytes are more than any network's layers")
    try:
        lines = param.read_text(encoding="utf-8").split("\n")
        count = int(lines[1].split()[0])
        return [_parse_line(line) for line in _exactly(count, [line for line in lines[2:] if line.strip()])]
    except (ValueError, IndexError, OverflowError) as error:
        raise SRError(f"{param} is damaged: its layers can't be read") from error


def _exactly(count: int, lines: list[str]) -> list[str]:
    if len(lines) != count:
        raise ValueError("lines are missing")
    return lines


def _parse_line(line: str) -> Layer:
    kind, _, inputs, outputs, *rest = line.split()
    first, last = int(inputs), int(inputs) + int(outputs)
    if not 0 <= first <= last <= len(rest):
        raise ValueError("blobs are missing")
    parameters, arrays = {}, {}
    for entry in rest[last:]:
        number, _, text = entry.partition("=")
        values = tuple(map(float, text.split(",")))
        if not all(map(math.isfinite, values)):
            raise ValueError("no number")
        if int(number) <= FIRST_ARRAY:  # its length, then its values
            arrays[FIRST_ARRAY - int(number)] = values[1:]
        else:
            parameters[int(number)] = values[0]
    return Layer(kind, tuple(rest[:first]), tuple(rest[first:last]), parameters, arrays)


class _Expressions:
    """Expressions of layers, of which equal ones are the same object: `same(kind, ...)` is compared at once."""

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], Expression] = {}

    def same(self, *parts: Any) -> Expression:
        key = tuple(id(part) if isinstance(part, tuple) else part for part in parts)
        return self.known.setdefault(key, parts)

    def leaky(self, slope: float, x: Expression) -> Expression:
        return x if slope == 1 else self.same("leaky", round(slope, 5), x)

    def scaled(self, factor: float, x: Expression) -> Expression:
        return x if factor == 1 else self.same("scaled", round(factor, 5), x)

    def added(self, *terms: Expression) -> Expression:
        return self.same("sum", *sorted(terms, key=id))

    def resized(self, mode: int, factor: float, x: Expression) -> Expression:
        return x if factor == 1 else self.same("resized", mode, round(factor, 5), x)

    def rearranged(self, kind: str, factor: int, x: Expression) -> Expression:
        return x if factor == 1 else self.same(kind, factor, x)


def _recognise(layers: list[Layer]) -> tuple[list[str], int, int] | None:
    """Return the names of the layers with weights, in their order, the scale, and the one before a bicubic resizing."""
    expressions = _Expressions()
    if (found := _expression(layers, expressions)) is None:
        return None
    counts = Counter(layer.kind for layer in layers)
    convolutions, slopes = counts["Convolution"], counts["PReLU"]
    if slopes and slopes == convolutions - 1:
        for scale in SCALES:
            whole = _compact(expressions, slopes, scale)
            for smaller in range(scale, 0, -1):
                if found is expressions.resized(BICUBIC, smaller / scale, whole):
                    return [f"body.{i}" for i in range(2 * slopes + 1)], smaller, scale
    blocks, rest = divmod(convolutions - 6, 15)
    if not slopes and blocks > 0 and rest == 0:
        for fold in (1, 2, 4):
            if found is _rrdbnet(expressions, blocks, fold) or found is _any_size(expressions, blocks, fold):
                parts = [f"body.{i}.rdb{j}.conv{k}" for i in range(blocks) for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
                last = ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
                return ["conv_first", *parts, *last], 4 // fold, 4 // fold
    return None


def _expression(layers: list[Layer], e: _Expressions) -> Expression | None:
    """Return the expression of the only output; None if there are other layers than those of the two networks."""
    blobs: dict[str, Expression] = {}
    unused: set[str] = set()
    weighted = 0
    for layer in layers:
        if not all(name in blobs for name in layer.inputs):
            return None
        value = _value(layer, [blobs[name] for name in layer.inputs], weighted, e)
        if value is None:
            return None
        weighted += layer.kind in ("Convolution", "PReLU")
        unused.difference_update(layer.inputs)
        unused.update(layer.outputs)
        blobs.update(dict.fromkeys(layer.outputs, value))
    return blobs[unused.pop()] if len(unused) == 1 else None


def _value(layer: Layer, inputs: list[Expression], weighted: int, e: _Expressions) -> Expression | None:
    """Return the expression of a layer's outputs; `weighted` is the number of layers with weights before it."""
    match layer.kind, inputs, layer.parameters:
        case "Input", [], _:
            return e.same("input")
        case "Split", [x], _:
            return x
        case "Convolution", [x], p if _is_3x3(p):
            slope = {0: 1.0, 1: 0.0, 2: (*layer.arrays.get(10, ()), 0.0)[0]}.get(int(p.get(9, 0)))
            return None if slope is None else e.leaky(slope, e.same("convolution", weighted, x))
        case "PReLU", [x], _:
            return e.same("prelu", weighted, x)
        case "ReLU", [x], p:
            return e.leaky(p.get(0, 0.0), x)
        case "Concat", _, p if p.get(0, 0) == 0:
            return e.same("concatenated", *inputs)
        case "BinaryOp", [x], p if (p.get(0, 0), p.get(1, 0)) == (MULTIPLY, 1):
            return e.scaled(p.get(2, 0.0), x)
        case "BinaryOp", [x, y], p if p.get(0, 0) == ADD:
            return e.added(x, y)
        case "Eltwise", [x, y], p if p.get(0, 0) == SUM and len(layer.arrays.get(1, (1.0, 1.0))) == 2:
            of_x, of_y = layer.arrays.get(1, (1.0, 1.0))
            return e.added(e.scaled(of_x, x), e.scaled(of_y, y))
        case "PixelShuffle", [x], p if p.get(1, 0) == 0:
            return e.rearranged("shuffled", int(p.get(0, 1)), x)
        case "Reorg", [x], p if p.get(1, 0) == 0:
            return e.rearranged("unshuffled", int(p.get(0, 1)), x)
        case "Padding", [x], p if p == {1: p.get(1), 3: p.get(1), 4: REPLICATE}:
            return e.same("padded", int(p[1]), x)
        case "Crop", [x, size_of], p if not p and not layer.arrays:
            return e.same("cropped", x, size_of)
        case "Interp", [x], p if p.get(1, 1) == p.get(2, 1) and not any(p.get(key, 0) for key in (3, 4, 5, 6)):
            return e.resized(int(p.get(0, 0)), p.get(1, 1), x)
    return None


def _is_3x3(p: dict[int, float]) -> bool:
    """Return whether a convolution is 3x3 over every pixel, with a bias, zeros around the picture, and not in int8."""
    kernel, dilation, stride = ((p.get(w, default), p.get(h, p.get(w, default))) for w, h, default in GEOMETRY)
    left, top = p.get(4, 0), p.get(14, p.get(4, 0))
    padding = (left, top, p.get(15, left), p.get(16, top))
    plain = (kernel, dilation, stride, padding) == ((3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    return plain and p.get(5, 0) == 1 and not any(p.get(key, 0) for key in (8, 18, 19))


def _compact(e: _Expressions, slopes: int, scale: int) -> Expression:
    """Return the expression of a `Compact` with so many activations."""
    image = x = e.same("input")
    for i in range(slopes):
        x = e.same("prelu", 2 * i + 1, e.same("convolution", 2 * i, x))
    x = e.rearranged("shuffled", scale, e.same("convolution", 2 * slopes, x))
    return e.added(x, e.resized(NEAREST, scale, image))


def _any_size(e: _Expressions, blocks: int, fold: int) -> Expression:
    """Return the expression of an `RRDBNet` that pads its input and crops its output, as `sr export` writes it."""
    image = e.same("input")
    padded = _rrdbnet(e, blocks, fold, e.same("padded", fold - 1, image))
    return e.same("cropped", padded, e.resized(NEAREST, 4 // fold, image))


def _rrdbnet(e: _Expressions, blocks: int, fold: int, image: Expression | None = None) -> Expression:
    """Return the expression of an `RRDBNet`, of an image that is by default the input."""
    numbers = iter(range(6 + 15 * blocks))

    def convolution(x: Expression, slope: float = 1.0) -> Expression:
        return e.leaky(slope, e.same("convolution", next(numbers), x))

    first = x = convolution(e.rearranged("unshuffled", fold, image or e.same("input")))
    for _ in range(blocks):
        outer = x
        for _ in range(3):
            dense = [x]
            for _ in range(4):
                dense.append(convolution(dense[0] if len(dense) == 1 else e.same("concatenated", *dense), 0.2))
            x = e.added(x, e.scaled(0.2, convolution(e.same("concatenated", *dense))))
        x = e.added(outer, e.scaled(0.2, x))
    x = e.added(first, convolution(x))
    for _ in range(2):
        x = convolution(e.resized(NEAREST, 2, x), 0.2)
    return convolution(convolution(x, 0.2))


def _weights(layers: list[Layer], names: list[str], file: Path) -> StateDict:
    """Read the weights of the layers, in their order, from a `.bin`."""
    weighted = [layer for layer in layers if layer.kind in ("Convolution", "PReLU")]
    shapes = [_shapes(layer, file) for layer in weighted]
    most = sum(4 * math.prod(shape) + 4 * flagged for of_layer in shapes for _, shape, flagged in of_layer)
    if file.stat().st_size > most:
        raise SRError(f"{file} is of another network: it holds more than the layers of the .param")
    content, state, at = file.read_bytes(), {}, 0
    for name, of_layer in zip(names, shapes, strict=True):
        for part, shape, flagged in of_layer:
            half = False
            if flagged:
                flag = int(_array(content, at, 1, "<u4", file)[0])
                half, at = flag == FP16, at + 4
                if not half and flag not in FP32:
                    raise SRError(f"{file} is damaged, or in integers: only weights in fp16 and fp32 are read")
            values = _array(content, at, math.prod(shape), "<f2" if half else "<f4", file)
            at += -(-values.nbytes // 4) * 4
            state[f"{name}.{part}"] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    if at != len(content):
        raise SRError(f"{file} is of another network: it holds more than the layers of the .param")
    return state


def _array(content: bytes, at: int, count: int, kind: str, file: Path) -> np.ndarray:
    if at + count * np.dtype(kind).itemsize > len(content):
        raise SRError(f"{file} is damaged: it ends before the last weights")
    return np.frombuffer(content, kind, count, at)


def _shapes(layer: Layer, file: Path) -> list[tuple[str, tuple[int, ...], bool]]:
    """Return name, shape and whether a flag comes first, of each array of a layer."""
    outputs = int(layer.parameters.get(0, 0))
    if layer.kind == "PReLU" and outputs > 0:
        return [("weight", (outputs,), False)]
    values = int(layer.parameters.get(6, 0))
    if outputs < 1 or values < 1 or values % (9 * outputs):
        raise SRError(f"{file} can't be read: its .param is damaged at a convolution of {outputs} channels")
    return [("weight", (outputs, values // (9 * outputs), 3, 3), True), ("bias", (outputs,), False)]
