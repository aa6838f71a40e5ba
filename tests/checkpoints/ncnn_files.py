"""Files of ncnn, written from the networks' layers by hand, in the two styles that are in use."""

import struct
from collections import Counter


class Writer:
    """Lines of a `.param` and the bytes of its `.bin`, in fp16 or fp32."""

    def __init__(self, half, by_pnnx):
        self.half, self.by_pnnx = half, by_pnnx
        self.lines, self.content = [], b""

    def layer(self, kind, inputs, parameters=""):
        made = [f"blob{len(self.lines)}"]
        self.lines.append((kind, list(inputs), made, parameters))
        return made[0]

    def convolution(self, x, layer, slope=None):
        count, size = layer.out_channels, layer.weight.numel()
        shape = f"0={count} 1=3 4=1 5=1 6={size}"
        if self.by_pnnx:
            shape = f"0={count} 1=3 11=3 12=1 13=1 14=1 2=1 3=1 4=1 5=1 6={size}"
        if slope is not None:
            shape += f" 9=2 -23310=1,{slope:e}"
        weight = layer.weight.detach().numpy()
        if self.half:
            data = weight.astype("<f2").tobytes()
            self.content += struct.pack("<I", 0x01306B47) + data + bytes(-len(data) % 4)
        else:
            self.content += struct.pack("<I", 0) + weight.astype("<f4").tobytes()
        self.content += layer.bias.detach().numpy().astype("<f4").tobytes()
        return self.layer("Convolution", [x], shape)

    def prelu(self, x, layer):
        self.content += layer.weight.detach().numpy().astype("<f4").tobytes()
        return self.layer("PReLU", [x], f"0={layer.num_parameters}")

    def residual(self, x, branch):
        """`x + 0.2 * branch`."""
        if not self.by_pnnx:
            return self.layer("Eltwise", [branch, x], "0=1 -23301=2,2.000000e-01,1.000000e+00")
        return self.layer("BinaryOp", [x, self.layer("BinaryOp", [branch], "0=2 1=1 2=0.2")], "0=0")

    def add(self, x, y):
        return self.layer("BinaryOp", [x, y], "0=0" if self.by_pnnx else "")

    def nearest(self, x, factor):
        return self.layer("Interp", [x], f"0=1 1={factor:e} 2={factor:e}")

    def save(self, stem):
        param, content = self.texts()
        stem.with_suffix(".param").write_text(param)
        stem.with_suffix(".bin").write_bytes(content)
        return stem.with_suffix(".param")

    def texts(self):
        """What the `.param` and the `.bin` hold."""
        lines = self.with_splits()
        written = [f"{k:16} l{i} {len(x)} {len(y)} {' '.join(x + y)} {p}\n" for i, (k, x, y, p) in enumerate(lines)]
        blobs = sum(len(outputs) for _, _, outputs, _ in lines)
        return f"7767517\n{len(lines)} {blobs}\n" + "".join(written), self.content

    def with_splits(self):
        """The lines, in which each blob has one reader, as ncnn wants it."""
        used = Counter(blob for _, inputs, _, _ in self.lines for blob in inputs)
        lines, copies = [], {}
        for kind, inputs, outputs, parameters in self.lines:
            inputs = [copies[blob].pop() if blob in copies else blob for blob in inputs]
            lines.append((kind, inputs, outputs, parameters))
            for blob in outputs:
                if used[blob] > 1:
                    copies[blob] = [f"{blob}_{i}" for i in range(used[blob])]
                    lines.append(("Split", [blob], list(copies[blob]), ""))
        return lines


def compact(network, half=False, by_pnnx=False, reduced=1.0):
    """A Compact; with `reduced`, its output is resized by that factor."""
    w = Writer(half, by_pnnx)
    image = x = w.layer("Input", [])
    *layers, last = network.body
    for convolution, prelu in zip(layers[::2], layers[1::2], strict=True):
        x = w.prelu(w.convolution(x, convolution), prelu)
    x = w.layer("PixelShuffle", [w.convolution(x, last)], f"0={network.inner_scale}")
    x = w.add(x, w.nearest(image, network.inner_scale))
    if reduced != 1:
        w.layer("Interp", [x], f"0=3 1={reduced:e} 2={reduced:e}")
    return w


def rrdbnet(network, half=False, by_pnnx=False):
    w = Writer(half, by_pnnx)
    x = w.layer("Input", [])
    if network.fold > 1:
        x = w.layer("Reorg", [x], f"0={network.fold} 1=0")
    first = x = w.convolution(x, network.conv_first)
    for rrdb in network.body:
        outer = x
        for block in (rrdb.rdb1, rrdb.rdb2, rrdb.rdb3):
            dense = [x]
            for layer in (block.conv1, block.conv2, block.conv3, block.conv4):
                joined = x if len(dense) == 1 else w.layer("Concat", dense)
                dense.append(w.convolution(joined, layer, slope=0.2))
            x = w.residual(x, w.convolution(w.layer("Concat", dense), block.conv5))
        x = w.residual(outer, x)
    x = w.add(first, w.convolution(x, network.conv_body))
    x = w.convolution(w.nearest(x, 2), network.conv_up1, slope=0.2)
    x = w.convolution(w.nearest(x, 2), network.conv_up2)
    x = w.layer("ReLU", [x], "0=2.000000e-01")  # as where ncnn's optimiser wasn't run
    w.convolution(w.convolution(x, network.conv_hr, slope=0.2), network.conv_last)
    return w
