"""RRDBNet for ncnn, written layer by layer: pnnx takes more than 20 GB of memory for its 23 blocks (half a GB for 16).

Format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from torch import nn

from sr_experiments.export.ncnn_runtime import IMAGE_IN, IMAGE_OUT
from sr_experiments.generators.rrdbnet import ResidualDenseBlock, RRDBNet

MAGIC = "7767517"
FP16 = 0x01306B47  # what stands before weights in fp16; 0 before those in fp32
ADD, MULTIPLY = "0=0", "0=2 1=1 2={}"  # parameters of BinaryOp
DOUBLE = "0=1 1=2 2=2"  # of Interp: nearest neighbour
LEAKY = "9=2 -23310=1,{}"  # of Convolution: the activation after it


class _Program:
    """Layers in the order in which they run; each has one output."""

    def __init__(self, fp16: bool) -> None:
        self.fp16 = fp16
        self.layers: list[tuple[str, tuple[str, ...], str, str]] = []  # kind, inputs, output, parameters
        self.weights: list[bytes] = []

    def add(self, kind: str, *inputs: str, parameters: str = "", output: str = "") -> str:
        """Add a layer, and return the name of its output."""
        name = output or f"{kind.lower()}_{len(self.layers)}"
        self.layers.append((kind, inputs, name, parameters))
        return name

    def convolution(self, x: str, layer: nn.Conv2d, activation: nn.LeakyReLU | None = None, output: str = "") -> str:
        """Add a 3x3 convolution with padding, and the activation after it."""
        assert layer.bias is not None
        weight = layer.weight.detach().float().numpy()
        parameters = f"0={layer.out_channels} 1=3 4=1 5=1 6={weight.size}"
        if activation is not None:
            parameters += " " + LEAKY.format(activation.negative_slope)
        content = weight.astype("<f2" if self.fp16 else "<f4").tobytes()
        self.weights += [np.uint32(FP16 if self.fp16 else 0).astype("<u4").tobytes(), content, bytes(-len(content) % 4)]
        self.weights.append(layer.bias.detach().float().numpy().astype("<f4").tobytes())
        return self.add("Convolution", x, parameters=parameters, output=output)

    def residual(self, x: str, branch: str, factor: float = 1.0) -> str:
        """Add `x + factor * branch`."""
        if factor != 1:
            branch = self.add("BinaryOp", branch, parameters=MULTIPLY.format(factor))
        return self.add("BinaryOp", x, branch, parameters=ADD)

    def text(self) -> str:
        """Return the content of the `.param`, with a Split after each output that several layers take."""
        uses = Counter(name for _, inputs, _, _ in self.layers for name in inputs)
        taken: Counter[str] = Counter()

        def copy_for(name: str) -> str:
            taken[name] += 1
            return name if uses[name] < 2 else f"{name}_{taken[name] - 1}"

        lines, blobs = [], 0
        for kind, inputs, output, parameters in self.layers:
            given = " ".join(map(copy_for, inputs))
            lines.append(" ".join(f"{kind} {output} {len(inputs)} 1 {given} {output} {parameters}".split()))
            blobs += 1
            if (count := uses[output]) > 1:
                copies = " ".join(f"{output}_{i}" for i in range(count))
                lines.append(f"Split split_{output} 1 {count} {output} {copies}")
                blobs += count
        return "\n".join([MAGIC, f"{len(lines)} {blobs}", *lines, ""])


def write_rrdbnet(param: Path, content: Path, network: RRDBNet, fp16: bool) -> None:
    """Write the `.param` and the `.bin` of a network, with weights in fp16 or fp32."""
    program = _Program(fp16)
    image = x = program.add("Input", output=IMAGE_IN)
    if network.fold > 1:  # padded by more than may be needed: the unshuffle leaves out what is no whole multiple
        more = network.fold - 1
        x = program.add("Padding", x, parameters=f"1={more} 3={more} 4=1")
        x = program.add("Reorg", x, parameters=f"0={network.fold} 1=0")
    shallow = x = program.convolution(x, network.conv_first)
    for rrdb in network.body.children():
        start = x
        for block in rrdb.children():
            assert isinstance(block, ResidualDenseBlock)
            features = [x]
            for layer in (block.conv1, block.conv2, block.conv3, block.conv4):
                together = features[0] if len(features) == 1 else program.add("Concat", *features)
                features.append(program.convolution(together, layer, block.lrelu))
            x = program.residual(x, program.convolution(program.add("Concat", *features), block.conv5), 0.2)
        x = program.residual(start, x, 0.2)
    x = program.residual(shallow, program.convolution(x, network.conv_body))
    for layer in (network.conv_up1, network.conv_up2):
        x = program.convolution(program.add("Interp", x, parameters=DOUBLE), layer, network.lrelu)
    x = program.convolution(x, network.conv_hr, network.lrelu)
    x = program.convolution(x, network.conv_last, output="" if network.fold > 1 else IMAGE_OUT)
    if network.fold > 1:  # the image, enlarged, has the size to crop to
        size = program.add("Interp", image, parameters=f"0=1 1={network.scale} 2={network.scale}")
        program.add("Crop", x, size, output=IMAGE_OUT)
    param.write_text(program.text(), encoding="utf-8")
    content.write_bytes(b"".join(program.weights))
