"""Recognise files by their content: what is given as a checkpoint is often something else under its name."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

HEAD = 1024  # bytes that are looked at

AGAIN = "download it again, as a file and not as the page that shows it"
WEIGHTS = "give the .pth or .safetensors that it was made from"


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _is_onnx(head: bytes) -> bool:
    """Return whether it begins as a protobuf of ONNX does: the version, then the producer or the graph."""
    return (
        len(head) > 2 and head[0] == 0x08 and head[1] < 0x20 and head[2] in (0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x42)
    )


# What a file is, in words, how its first bytes show it, and what to do.
KINDS: tuple[tuple[str, Callable[[bytes], bool], str], ...] = (
    ("a Git LFS pointer, not the file itself", _begins(b"version https://git-lfs"), "fetch the file with git lfs pull"),
    ("a web page", lambda head: re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|!--|error)", head, re.I)
     is not None, AGAIN),
    ("a server's answer in JSON, not weights", lambda head: re.match(rb'\s*[{\[]\s*"', head) is not None, AGAIN),
    ("weights of ncnn", _begins(b"\x47\x6b\x30\x01"), "put the .param of the same name beside it"),
    ("a network of TensorFlow Lite", lambda head: head[4:8] == b"TFL3", WEIGHTS),
    ("an HDF5 file, as Keras writes", _begins(b"\x89HDF\r\n"), WEIGHTS),
    ("a GGUF file", _begins(b"GGUF"), WEIGHTS),
    ("a picture", _begins(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM"), "give a file of weights"),
    ("a compressed archive", _begins(b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"),
     "unpack it and give the file of weights in it"),
    ("an ONNX network", _is_onnx, WEIGHTS),
)  # fmt: skip

# The same of zip archives, by the names in them.
ARCHIVES = (
    ("a TorchScript program", r"[^/]+/(code/.*|constants\.pkl)", WEIGHTS),
    ("a program of torch.export", r"([^/]+/)?(archive_format|serialized_exported_program\.json)", WEIGHTS),
    ("a Core ML network", r"(.*/)?Manifest\.json|.*\.mlmodel", WEIGHTS),
    ("a zip archive of other files", r".*\.(pth?|ckpt|safetensors|bin|onnx|param)",
     "unpack it and give the file of weights in it"),
)  # fmt: skip


def is_safetensors(file: Path) -> bool:
    """Return whether a file is in the format of safetensors, whatever its name: a length, then JSON of that length."""
    with file.open("rb") as opened:
        head = opened.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= file.stat().st_size - 8


def no_weights(file: Path) -> str:
    """Return what a file is instead of weights, and what to do; empty if it may be weights."""
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    if not head.strip(b"\0"):
        return f"{file} {'begins with zeros' if head else 'is empty'}: download it again"
    for what, matches, todo in KINDS:
        if matches(head):
            return f"{file} is {what}: {todo}"
    if head.startswith(b"PK\3\4") and zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()[:1000]
        except zipfile.BadZipFile:
            return f"{file} is damaged: download it again"
        for what, pattern, todo in ARCHIVES:
            if any(re.fullmatch(pattern, name) for name in names):
                return f"{file} is {what}: {todo}"
    return ""
