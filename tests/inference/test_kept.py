"""A network that was used is kept: later uses need neither torch nor seconds, and give the same files."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.inference import kept
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.loading import load_engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video.resume import engine_settings
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino")

CPU = ("--device", "cpu")


def pixels(height=40, width=33, channels=3, kind=np.uint8):
    values = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (height, width, channels), kind)
    return values[..., 0] if channels == 1 else values


@pytest.fixture
def image(tmp_path):
    Image.fromarray(pixels(channels=4)).save(tmp_path / "in.png")
    return tmp_path / "in.png"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/openvino"


@pytest.fixture
def no_torch_way(monkeypatch):
    """Call it, and commands that would load a checkpoint fail from then on."""

    def forbid():
        def loaded(*arguments):
            raise AssertionError("the checkpoint was loaded")

        monkeypatch.setattr("sr_experiments.inference.loading.load_engine", loaded)

    return forbid


@pytest.mark.slow
def test_later_uses_do_without_torch_and_two_may_start_at_once(weights, image, tmp_path, cache):
    Image.fromarray(pixels(channels=1, kind=np.uint16)).save(tmp_path / "grey.png")
    script = (
        "import sys; from sr_experiments.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'pytorch_lightning', 'scipy', 'av', 'wandb', 'hydra'} & sys.modules.keys()))"
    )

    def start(name, *options):
        options = (*CPU, "--scale", "1.5", "--strength", "0.5", *options)
        arguments = ["upscale", image, tmp_path / "grey.png", "-o", tmp_path / name, "-c", weights(), *options]
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    both = [start("1"), start("2")]
    said = [process.communicate()[0] for process in both]
    said += [start("3").communicate()[0], start("4", "--tile", "96").communicate()[0]]
    assert [line.splitlines()[-1] for line in said] == ["['torch']", "['torch']", "[]", "[]"]
    assert len(list(cache.iterdir())) == 1
    for file in ("in.png", "grey.png"):
        assert len({(tmp_path / name / file).read_bytes() for name in "1234"}) == 1


@pytest.mark.parametrize("precision", ["fp32", pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name, options",
    [
        ("msrresnet", {}),
        pytest.param("rrdbnet", {}, marks=pytest.mark.slow),
        ("compact", {"channels": 1}),
        ("unet", {"scale": 1}),
    ],
)
def test_it_gives_the_same_picture(sr, weights, image, tmp_path, no_torch_way, name, options, precision):
    checkpoint = weights(name, **options)
    said = []
    for number in (1, 2):
        arguments = ("-c", checkpoint, *CPU, "--precision", precision)
        done = sr("upscale", image, "-o", tmp_path / f"{number}.png", *arguments)
        assert done.code == 0, done.err
        said.append(done.err)
        no_torch_way()
    assert said[0] == said[1]
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_a_kept_network_has_the_settings_by_which_videos_are_resumed(weights, cache):
    options = Options(device="cpu")
    key = kept.key_of([weights()], options)
    engine, source = load_engine([weights()], options)
    kept.write(key, engine, source)
    again = kept.read(key, None)
    assert engine_settings(again) == engine_settings(engine) and again.source == source
    assert again._tile_size() > 0 and again.bytes_per_pixel() == engine.bytes_per_pixel()


def in_the_middle(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def without_record(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("record.json", "[]")


@pytest.mark.parametrize(
    "damage",
    [
        in_the_middle,
        *(
            pytest.param(damage, marks=pytest.mark.slow)
            for damage in (without_record, lambda file: os.truncate(file, 1000))
        ),
    ],
)
def test_a_damaged_file_is_said_and_made_again(sr, weights, image, tmp_path, cache, no_torch_way, damage):
    def upscale(name):
        return sr("upscale", image, "-o", tmp_path / name, "-c", weights(), *CPU)

    assert upscale("1.png").code == 0
    (file,) = cache.iterdir()
    damage(file)
    done = upscale("2.png")
    assert done.code == 0 and "is damaged" in done.err and "it is made again" in done.err
    no_torch_way()
    assert upscale("3.png").code == 0
    assert len({(tmp_path / f"{number}.png").read_bytes() for number in (1, 2, 3)}) == 1


def test_a_folder_that_cannot_be_written_is_one_line(sr, weights, image, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "file/inside"))
    done = sr("upscale", image, "-o", tmp_path / "out.png", "-c", weights(), *CPU)
    assert done.code == 0 and done.err.count("can't be written") == 1
    assert "prepared each time" in done.err and (tmp_path / "out.png").is_file()


def test_what_decides_the_network_decides_the_name(weights, tmp_path, monkeypatch):
    checkpoint = weights()
    usual = Options(device="cpu")
    keys = [kept.key_of([checkpoint], usual)]
    assert kept.key_of([checkpoint], Options(device="cpu", tile=128, quality=5, runtime="openvino")) == keys[0]
    keys.append(kept.key_of([checkpoint], Options(device="cpu", precision="fp32")))
    keys += [kept.key_of([checkpoint, checkpoint], Options(device="cpu", strength=s)) for s in (0.1, 0.2)]
    torch.save({"params": {k: v + 1 for k, v in torch.load(checkpoint)["params"].items()}}, checkpoint)
    keys.append(kept.key_of([checkpoint], usual))
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    keys.append(kept.key_of([checkpoint], usual))
    monkeypatch.setattr("importlib.metadata.version", lambda package: "99")
    keys.append(kept.key_of([checkpoint], usual))
    (tmp_path / "code.py").write_text("changed")
    monkeypatch.setattr(kept, "_code", lambda: [tmp_path / "code.py"])
    keys.append(kept.key_of([checkpoint], usual))
    assert len(set(keys)) == len(keys) and None not in keys


def test_both_files_of_ncnn_decide(tmp_path):
    param, weights = tmp_path / "x4.param", tmp_path / "x4.bin"
    param.write_text("7767517\n")
    keys = []
    for content in ("one", "another"):
        weights.write_text(content)
        keys += [kept.key_of([file], Options(device="cpu")) for file in (param, weights)]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_other_ways_of_running_are_not_kept(weights, monkeypatch):
    for options in ({"runtime": "torch"}, {"precision": "fp16"}, {"device": "cuda"}, {"steps": 2}):
        assert kept.key_of([weights()], Options(**{"device": "cpu", **options})) is None
    monkeypatch.setattr(kept, "_may_have_gpu", lambda: True)
    assert kept.key_of([weights()], Options(device="auto")) is None
    assert kept.key_of([weights()], Options(device="cpu"))


def test_the_code_is_what_networks_are_made_by():
    names = {file.relative_to(ROOT / "sr_experiments").as_posix() for file in kept._code()}
    assert {"generators/msrresnet.py", "inference/runtimes.py", "checkpoints/key_styles.py"} <= names


def test_options_are_checked_beside_a_kept_network(sr, weights, image, tmp_path):
    assert sr("upscale", image, "-o", tmp_path / "1.png", "-c", weights(), *CPU).code == 0
    for option, said in ((("--seed", 1), "--seed is for networks"), (("--tile", 8), "--tile 8 is too small")):
        done = sr("upscale", image, "-o", tmp_path / "2.png", "-c", weights(), *CPU, *option)
        assert done.code == 2 and said in done.err.splitlines()[-1]


def test_the_last_used_are_kept(weights, cache, monkeypatch):
    monkeypatch.setattr(kept, "LIMIT", 2)
    engine = Engine(load_engine([weights()], Options(device="cpu"))[0].generator, "cpu", "fp32")
    cache.mkdir(parents=True)
    for i in range(4):
        for name in (f"{i}.zip", f".{i}.zip.77.tmp"):
            Path(cache, name).touch()
            os.utime(cache / name, (i, i))
    kept.write("new", engine, "a network")
    assert {path.name for path in cache.iterdir()} == {"new.zip", "3.zip", ".3.zip.77.tmp"}
