"""Open checkpoint files as plain data: no code in them is ever run."""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from sr_experiments.checkpoints.file_kinds import is_safetensors, no_weights
from sr_experiments.checkpoints.limits import check_archive
from sr_experiments.errors import SRError, first_line

RECORD = "sr_experiments"  # key of the record in this project's checkpoints and exports
INT8 = "sr_experiments_int8"  # key of the record in files of `sr quantize`
HUB_WEIGHTS = "model.safetensors"  # in a folder for the Hugging Face Hub
COMPILED = (".onnx", ".pt2", ".ts", ".torchscript")  # no state dict in them


def file_of(path: Path) -> Path:
    """Return the file of a checkpoint: the path itself, the best or last of a run folder, or that of a Hub folder."""
    if path.is_dir():
        for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", HUB_WEIGHTS):
            if (path / name).is_file():
                return path / name
        raise SRError(
            f"{path} has no checkpoints/best.ckpt or last.ckpt, nor {HUB_WEIGHTS}: give a run folder or a checkpoint "
            "file"
        )
    if not path.is_file():
        raise SRError(f"no checkpoint {path}: check the path")
    return path


def load_content(file: Path) -> Mapping[str, Any]:
    """Read the content of a file as plain data.

    Raises:
        SRError: the file is a compiled network, damaged, no checkpoint, or would run code when unpickled.
    """
    if reason := no_weights(file):
        raise SRError(reason)
    if file.suffix.lower() in COMPILED:
        raise SRError(f"{file} is a compiled network: give the run folder, the .pth or the .safetensors it is from")
    try:
        if is_safetensors(file) or (file.suffix == ".safetensors" and not zipfile.is_zipfile(file)):
            return _load_safetensors(file)
        check_archive(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other pickle protocols
            with file.open("rb") as opened:  # of a path, torch takes the extension for the format
                content = torch.load(opened, map_location="cpu", weights_only=True)
    except SRError:
        raise
    except pickle.UnpicklingError as error:
        blocked = re.search(r"(?:GLOBAL|Unsupported \w+:?) ([A-Za-z_][\w.]*)", str(error))
        if blocked:
            raise SRError(f"{file} refused: it asks to run {blocked[1]}; only plain weights are read") from error
        with file.open("rb") as opened:
            is_pickle = opened.read(1) == b"\x80"
        if is_pickle:
            raise SRError(f"{file} refused: it holds more than plain weights; only these are read") from error
        raise SRError(f"{file} is not a checkpoint, or is damaged") from error
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise SRError(f"{file} is not a checkpoint, or is damaged ({first_line(error)[:100]})") from error
    if not isinstance(content, Mapping):
        raise SRError(f"{file} holds no network weights: found a {type(content).__name__}")
    return content


def _load_safetensors(file: Path) -> dict[str, Any]:
    """Read the tensors, and this project's record if the metadata has one."""
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
        if INT8 in metadata:
            raise SRError(
                f"{file} is a network in int8, which only sr upscale and sr evaluate use: give the checkpoint that it "
                "was made from"
            )
        content: dict[str, Any] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if RECORD in metadata:
        try:
            content[RECORD] = json.loads(metadata[RECORD])
        except ValueError:
            content[RECORD] = None  # refused where the record is read
    return content
