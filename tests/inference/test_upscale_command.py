"""`sr upscale` on images, as a user types it."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.data.image_files import read_image
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.inputs import find_inputs, plan_jobs
from tests.inference.films import film, write


def photographs(folder, *names, size=(20, 26)):
    import skimage.data

    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(skimage.data.chelsea()[20 * i :][: size[0], : size[1]]).save(path)
    return folder


def test_one_image(sr, weights, tmp_path):
    photographs(tmp_path, "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "--checkpoint", weights(), "--device", "cpu")
    assert done.code == 0, done.err
    result = np.array(Image.open(tmp_path / "out.png"))
    engine = Engine(load_generator(weights())[0], "cpu")
    np.testing.assert_array_equal(result, engine.upscale(np.array(Image.open(tmp_path / "in.png"))))
    assert "out.png: 52x40 in" in done.out and f"(cpu, {engine.precision})" in done.out
    assert "x2, msrresnet_x2_0.pth (params, msrresnet)" in done.err


def test_a_folder_keeps_its_tree(sr, weights, tmp_path):
    photographs(tmp_path / "in", "a.png", "sub/b.jpg", "sub/deeper/c.webp")
    done = sr("upscale", tmp_path / "in", "-o", tmp_path / "out", "-c", weights())
    assert done.code == 0, done.err
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert made == {"a.png", "sub/b.jpg", "sub/deeper/c.webp"}
    assert "3 images in" in done.out


def test_several_files_stay_in_the_output_however_they_are_named(tmp_path, monkeypatch):
    for name in ("here/a.png", "other/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path / "here")
    for names in (["a.png", "../other/b.png"], ["a.png", str(tmp_path / "other" / "b.png")]):
        inputs = find_inputs(names, Path("out"))
        targets = [job.target.as_posix() for job in plan_jobs(inputs.images, inputs.root, Path("out"))]
        assert targets == ["out/here/a.png", "out/other/b.png"]


def test_two_inputs_never_have_one_output(sr, weights, tmp_path):
    photographs(tmp_path / "animations", "a.gif", "a.png")
    (tmp_path / "videos").mkdir()
    for name in ("clip.mpg", "clip.mkv"):
        write(tmp_path / "videos" / name, film(2), codec="mpeg2video")
    for folder, more, target in (("animations", ("--format", "webp"), "a.webp"), ("videos", (), "clip.mkv")):
        done = sr("upscale", tmp_path / folder, "-o", tmp_path / "out", "-c", weights(), "--overwrite", *more)
        assert done.code == 2 and f"would both become {tmp_path / 'out' / target}: rename one" in done.err
    assert not (tmp_path / "out").exists()


def test_globs_files_and_formats(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png", "b.jpg", "sub/c.png")
    assert sr("upscale", f"{folder}/**/*.png", "-o", tmp_path / "glob", "-c", weights(), "--format", "jpg").code == 0
    assert sorted(p.name for p in (tmp_path / "glob").rglob("*.jpg")) == ["a.jpg", "c.jpg"]
    assert sr("upscale", folder / "a.png", folder / "b.jpg", "-o", tmp_path / "files", "-c", weights()).code == 0
    assert sorted(p.name for p in (tmp_path / "files").iterdir()) == ["a.png", "b.jpg"]


def test_what_a_folder_has_besides_is_said_in_one_line(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png", "@eaDir/a.png/THUMB.jpg", "one.gif")
    photographs(tmp_path / "in", "photo.jpg")
    (folder / "photo.jpg").rename(folder / "photo.jfif")
    for name in ("a.jp2", "Thumbs.db", "._a.png"):
        (folder / name).touch()
    (folder / "back").symlink_to("..", target_is_directory=True)
    done = sr("upscale", folder, "-o", tmp_path / "out", "-c", weights())
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["a.png", "one.gif", "photo.jfif"]
    assert Image.open(tmp_path / "out" / "photo.jfif").format == "JPEG"
    (line,) = [line for line in done.err.splitlines() if "left out" in line]
    assert line.rstrip().endswith(
        "left out: 1 .jp2 (formats that aren't read); 1 in @eaDir; back, a link to a folder above"
    )
    assert "2 images in" in done.out


@pytest.mark.parametrize("as_glob", [False, True])
def test_results_inside_the_folder_are_not_enlarged_again(sr, weights, tmp_path, as_glob):
    folder = photographs(tmp_path / "in", "a.png", "sub/b.png")
    given = f"{folder}/**/*.png" if as_glob else folder
    assert sr("upscale", given, "-o", folder / "sub" / "large", "-c", weights()).code == 0
    (folder / "sub" / "large" / "a.png").unlink()
    done = sr("upscale", given, "-o", folder / "sub" / "large", "-c", weights(), "--resume")
    assert done.code == 0, done.err
    assert "left out: 1 in sub/large, the output" in done.err
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
        "a.png", "sub/b.png", "sub/large/a.png", "sub/large/sub/b.png"
    ]  # fmt: skip


@pytest.mark.parametrize("kind, extension", [("mpegts", "mts"), ("mpegts", "m2ts"), ("3gp", "3gp")])
def test_videos_of_camcorders_and_old_phones(sr, weights, tmp_path, kind, extension):
    source = write(tmp_path / "in.mp4", film(3))
    with (
        av.open(str(source)) as given,
        av.open(str(tmp_path / f"in.{extension}"), "w", format=kind) as made,
    ):
        stream = made.add_stream_from_template(given.streams.video[0], opaque=True)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    done = sr("upscale", tmp_path / f"in.{extension}", "-o", tmp_path / "out.mkv", "-c", weights())
    assert done.code == 0 and "3 frames of 64x48" in done.out, done.err


def test_a_video_inside_its_folder_of_frames_is_made_anew(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "1.png", "2.png")
    for options in ([], ["--overwrite"]):
        done = sr("upscale", folder, "-o", folder / "out.mkv", "-c", weights(), "--fps", 25, *options)
        assert done.code == 0, done.err


def test_a_file_of_another_format_is_refused_with_what_to_do(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png")
    for name in ("a.jp2", "a.wmv"):
        (folder / name).touch()
    for names, says in (
        (["a.jp2"], "a.jp2 is of a format that isn't read: convert it to PNG"),
        (["a.wmv"], "a.wmv is of a format that isn't read: put it into another container, ffmpeg -i a.wmv -c copy"),
        (["a.png", "a.jp2"], "a.jp2 is of a format that isn't read: leave it out, or convert it to PNG"),
    ):
        done = sr("upscale", *(folder / name for name in names), "-o", tmp_path / "out", "-c", weights())
        assert done.code == 2 and says in done.err
    assert sr("upscale", f"{folder}/*", "-o", tmp_path / "glob", "-c", weights()).code == 0


def test_an_unreadable_image_is_named_and_the_rest_goes_on(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png", "c.png")
    (folder / "b.png").write_bytes(b"broken")
    done = sr("upscale", folder, "-o", tmp_path / "out", "-c", weights())
    assert done.code == 1
    assert "can't read image" in done.err and "b.png" in done.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert "2 images in" in done.out and "1 failed" in done.out


def test_pictures_of_cameras_and_scanners(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "preview.png")
    photograph = Image.open(folder / "preview.png")
    planes = np.moveaxis(np.array(photograph).astype(np.uint16) * 257, 2, 0)
    tifffile.imwrite(folder / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(folder / "floats.tif", (np.array(photograph) / 255).astype(np.float32), photometric="rgb")
    photograph.save(folder / "phone.jpg", "MPO", save_all=True, append_images=[photograph.resize((9, 7))])
    photograph.save(folder / "print.png", dpi=(300, 300))
    done = sr("upscale", folder, "-o", tmp_path / "out", "-c", weights(), "--device", "cpu", "--precision", "fp32")
    assert done.code == 0, done.err
    said = re.sub(r"\s+", " ", done.err)
    assert "phone.jpg: the pictures after the first not kept" in said
    assert "floats.tif: floating-point numbers not kept" in said
    expected = np.array(Image.open(tmp_path / "out" / "preview.png")).astype(float)
    for name in ("planes.tif", "floats.tif"):
        result = tifffile.imread(tmp_path / "out" / name)
        assert result.dtype == np.uint16 and np.abs(result / 257 - expected).max() < 1
    assert Image.open(tmp_path / "out" / "phone.jpg").size == (52, 40)
    assert Image.open(tmp_path / "out" / "print.png").info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_a_broken_video_beside_images_does_not_keep_them(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png")
    (folder / "live.mov").write_bytes(b"broken")
    done = sr("upscale", folder, "-o", tmp_path / "out", "-c", weights())
    assert done.code == 1 and "live.mov" in done.err and "error:" not in done.err
    assert (tmp_path / "out" / "a.png").is_file()
    assert sr("upscale", folder / "live.mov", "-o", tmp_path / "out.mp4", "-c", weights()).code == 2


def test_existing_outputs_are_kept_unless_told(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"precious")
    command = ("upscale", folder, "-o", tmp_path / "out", "-c", weights())
    done = sr(*command)
    assert done.code == 2 and "a.png exists: give --overwrite to replace, or --resume" in done.err
    assert not (tmp_path / "out" / "b.png").exists()
    assert sr(*command, "--resume").code == 0
    assert (tmp_path / "out" / "a.png").read_bytes() == b"precious" and (tmp_path / "out" / "b.png").exists()
    assert sr(*command, "--overwrite").code == 0
    assert Image.open(tmp_path / "out" / "a.png").size == (52, 40)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["absent.png", "-o", "out.png"], "no absent.png: give an image"),
        (["empty", "-o", "out"], "no images or videos in empty"),
        (["notes.txt", "-o", "out.png"], "notes.txt is neither an image nor a video"),
        (["in.png", "-o", "out.gif"], "can't write out.gif: choose an extension"),
        (["in.png", "-o", "in.png"], "in.png would be replaced by its own result"),
        (["in.png", "-o", "out.mp4"], "in.png is a single image"),
        (["twice", "-o", "out", "--format", "png"], "would both become out/a.png"),
        (["in.png", "-o", "out.png", "--device", "cuda:77"], "--device cuda:77 is not there"),
        (["in.png", "-o", "out.png", "--tile", "3"], "--tile 3 is too small"),
        (["in.png", "-o", "out.png", "-c", "absent.pth"], "no checkpoint absent.pth"),
        (["in.png", "-o", "out.png", "-c", "notes.txt"], "notes.txt is not a checkpoint"),
        (["in.png", "-o", "out.png", "-c", "hostile.pth"], "hostile.pth refused: it asks to run posix.system"),
        (["in.png", "-o", "out.png", "-c", "newer.pth"], "newer.pth refused: it holds more than plain weights"),
        (["in.png", "-o", "out.png", "-c", "unknown.pth"], "2 tensors, the first layer.weight, layer.bias"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(sr, weights, tmp_path, monkeypatch, arguments, said):
    class Hostile:
        def __reduce__(self):
            return os.system, ("touch harmed",)

    monkeypatch.chdir(tmp_path)
    checkpoint = weights()
    photographs(Path(), "in.png", "twice/a.png", "twice/a.jpg")
    Path("empty").mkdir()
    Path("notes.txt").write_text("nothing")
    Path("hostile.pth").write_bytes(pickle.dumps({"params": Hostile()}, 2))
    Path("newer.pth").write_bytes(pickle.dumps({"params": Hostile()}, 4))
    torch.save({"layer.weight": torch.ones(2), "layer.bias": torch.ones(2)}, "unknown.pth")
    before = set(Path().rglob("*"))
    given = [] if "-c" in arguments else ["-c", checkpoint]
    done = sr("upscale", *arguments, *given)
    assert done.code == 2
    [line] = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert said in line
    assert "Traceback" not in done.err
    assert set(Path().rglob("*")) == before


def test_no_space_left_is_said_and_whole_files_stay(sr, weights, tmp_path, monkeypatch):
    """The second image doesn't fit: the first is whole, of the second nothing is left."""
    folder = photographs(tmp_path / "in", "a.png", "b.png")
    written = []

    def write_bytes(self, content):
        written.append(self)
        if len(written) == 2:
            original(self, content[:4])
            raise OSError(28, "No space left on device")
        return original(self, content)

    original = Path.write_bytes
    checkpoint = weights()
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    done = sr("upscale", folder, "-o", tmp_path / "out", "-c", checkpoint)
    assert done.code == 2 and "no space left for" in done.err and "b.png" in done.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "style", ["run", "safetensors", *(pytest.param(s, marks=pytest.mark.slow) for s in ("prefixed", "esrgan"))]
)
def test_any_checkpoint_gives_the_same_picture(sr, weights, train, tmp_path, style):
    photographs(tmp_path, "in.png")
    if style == "run":
        checkpoint = train()
        expected, _ = load_generator(checkpoint / "checkpoints" / "best.ckpt")
    else:
        file = weights("rrdbnet", 4)
        state = torch.load(file)["params"]
        expected, _ = load_generator(file)
        checkpoint = tmp_path / ("x.safetensors" if style == "safetensors" else "x.pth")
        if style == "safetensors":
            save_file(state, checkpoint)
        elif style == "prefixed":
            torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, checkpoint)
        else:
            torch.save({_esrgan_name(k): v for k, v in state.items()}, checkpoint)
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", checkpoint, "--device", "cpu")
    assert done.code == 0, done.err
    result = Engine(expected, "cpu").upscale(np.array(Image.open(tmp_path / "in.png")))
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out.png")), result)


def _esrgan_name(name):
    name = re.sub(r"^body\.(\d+)\.rdb", r"RRDB_trunk.\1.RDB", name)
    name = re.sub("^conv_body", "trunk_conv", name)
    return re.sub("^conv_up", "upconv", name).replace("conv_hr", "HRconv")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "most"),
    [
        (1024, 1000),  # MB; the picture itself takes 50, with its file's making 150; untiled: 3 GB
        (2048, 1500),  # 200, 600, 12 GB
    ],
)
def test_a_large_output_stays_in_bounded_memory(weights, tmp_path, side, most):
    """The network never takes more than its budget, a quarter of a gigabyte here."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)).save(tmp_path / "in.bmp")
    script = (
        "import resource, sys; from sr_experiments.inference import memory; memory.LARGEST = 2**28\n"
        "import torch, sr_experiments.inference.engine, sr_experiments.checkpoints.loading\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "from sr_experiments.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: print('code', stop.code)\n"
        "print('grown', (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024)\n"
    )
    arguments = ["upscale", tmp_path / "in.bmp", "-o", tmp_path / "out.bmp", "-c", weights("msrresnet", 4)]
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True)
    assert "code 0" in done.stdout, done.stderr
    assert Image.open(tmp_path / "out.bmp").size == (4 * side, 4 * side)
    assert float(done.stdout.split("grown")[1]) < most


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".jxl", ".heic", ".png", ".tif", ".bmp"])
def test_lossless_images_are_exact(sr, weights, tmp_path, suffix):
    Image.fromarray(film(1)[0]).save(tmp_path / "in.png")
    arguments = ("upscale", tmp_path / "in.png", "-c", weights("msrresnet", 2), "--device", "cpu", "--quality", "50")
    assert sr(*arguments, "-o", tmp_path / "expected.bmp").code == 0
    done = sr(*arguments, "-o", tmp_path / f"out{suffix}", "--lossless")
    assert done.code == 0, done.err
    np.testing.assert_array_equal(read_image(tmp_path / f"out{suffix}"), read_image(tmp_path / "expected.bmp"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("-o out.jpg --lossless", "JPEG has no --lossless, choose .png"),
        ("-o out.png --codec hevc", "--codec is for videos, and none is written: leave it out"),
        ("-o out.png --pix-fmt yuv420p", "--pix-fmt is for videos"),
        ("-o out.png --crf 3", "--crf is for videos"),
        ("-o out.png --preset slow", "--preset is for videos"),
        ("-o out.png --preview 2", "--preview is for videos"),
        ("-o out.png --fps 25", "--fps is for a video that is made from a folder of frames"),
        ("-o out.png --format webp", "--format is for folders, and out.png is a file: leave it out"),
    ],
)
def test_options_that_an_image_does_not_have_are_refused(sr, weights, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(film(1)[0]).save("in.png")
    done = sr("upscale", "in.png", "-c", weights(), "--device", "cpu", *given.split())
    assert done.code == 2 and said in done.err
    assert not list(tmp_path.glob("out*"))


def test_named_frames_are_the_frames(sr, weights, tmp_path):
    for i, frame in enumerate(film(4)):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / f"in/{i}.png")
    named = [tmp_path / f"in/{i}.png" for i in (1, 2)]
    arguments = ("-c", weights("frvsr", 2), "--device", "cpu")
    for inputs in (named, [f"{tmp_path}/in/[12].png"]):
        done = sr("upscale", *inputs, "-o", tmp_path / "out.mkv", "--fps", "10", "--overwrite", *arguments)
        assert done.code == 0 and "out.mkv: 2 frames" in done.out, done.err
    assert sr("upscale", *named, "-o", tmp_path / "out", *arguments).code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.png"]


def test_a_folder_with_videos_is_refused_for_one_file_and_formats_are_checked_first(sr, weights, tmp_path):
    folder = photographs(tmp_path / "in", "a.png", "b.jpg")
    write(folder / "c.mkv", film(2))
    arguments = ("upscale", folder, "-c", weights(), "--device", "cpu")
    done = sr(*arguments, "-o", tmp_path / "out.mp4", "--fps", "10")
    assert done.code == 2 and "out.mp4 is one file, and" in done.err and "c.mkv a video" in done.err
    done = sr(*arguments, "-o", tmp_path / "out", "--lossless")
    assert done.code == 2 and "b.jpg: JPEG has no --lossless" in done.err and "frames of" not in done.out
    assert sorted(path.name for path in tmp_path.glob("out*")) == []
