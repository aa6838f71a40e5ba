"""`sr evaluate`, as a user types it, against scikit-image and SciPy."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from skimage import color, metrics
from skimage.data import chelsea

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.names import unique_names
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.evaluation import Report, Result
from sr_experiments.evaluation.candidates import Baseline, Candidate, to_pixels, to_tensor
from sr_experiments.evaluation.cost import macs_per_pixel
from sr_experiments.evaluation.measure import measure
from sr_experiments.evaluation.metrics_config import metrics_config
from sr_experiments.evaluation.protocol import Protocol
from sr_experiments.evaluation.results import difference
from sr_experiments.evaluation.scenes import image_scenes
from sr_experiments.evaluation.table import print_values
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.engine import Engine
from tests.conftest import ROOT

SET5 = ROOT.parent / "shared" / "data" / "Set5"


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def photograph(number, height=44, width=57):
    return chelsea()[60 + 20 * number :, 100 + 30 * number :][:height, :width]


def hr_folder(root, count=3, names="{:04d}.png"):
    for number in range(count):
        write(root / names.format(number), photograph(number))
    return root


def degraded(hr, scale=2, kind="bicubic"):
    height, width = (side // scale * scale for side in hr.shape[:2])
    return to_pixels(DEGRADATIONS[kind](scale=scale).validation(to_tensor(hr[:height, :width])))


def matlab_y(image):
    return image.astype(np.float64) / 255 @ [65.481, 128.553, 24.966] + 16


def psnr_y(sr, hr, crop):
    cut = slice(crop, -crop)
    return metrics.peak_signal_noise_ratio(matlab_y(hr[cut, cut]), matlab_y(sr[cut, cut]), data_range=255)


def ssim_y(sr, hr, crop):
    cut = slice(crop, -crop)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return metrics.structural_similarity(matlab_y(hr[cut, cut]), matlab_y(sr[cut, cut]), **options)


def by_name(report):
    return {result["name"]: result for result in report["results"]}


# -- images ------------------------------------------------------------------------------------------------


def test_networks_beside_bicubic_against_scikit_image(sr, weights, tmp_path):
    hr = hr_folder(tmp_path / "hr")
    one, two = weights(seed=0), weights(seed=1)
    done = sr("evaluate", "-c", one, "-c", two, "--hr", hr, "--device", "cpu", "--json", tmp_path / "deep/r.json",
              "--csv", tmp_path / "r.csv", "--save", tmp_path / "saved")  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "deep/r.json").read_text())
    assert [r["name"] for r in report["results"]] == ["bicubic", "bicubic (papers)", one.stem, two.stem]
    engine = Engine(load_generator(one)[0], "cpu", "fp32")
    values = by_name(report)[one.stem]
    for number in range(3):
        truth = photograph(number)[:44, :56]
        lr = degraded(truth)
        expected = engine.upscale(lr)
        of = values["per_image"][f"{number:04d}"]
        assert of["psnr_y"] == pytest.approx(psnr_y(expected, truth, 2), abs=1e-6)
        assert of["ssim_y"] == pytest.approx(ssim_y(expected, truth, 2), abs=1e-4)
        shift = color.deltaE_ciede2000(color.rgb2lab(lr), color.rgb2lab(degraded(expected))).mean()
        assert of["colour_shift"] == pytest.approx(shift, abs=1e-9)
        saved = np.array(Image.open(tmp_path / "saved" / one.stem / f"{number:04d}.png"))
        np.testing.assert_array_equal(saved, expected)
    mean = np.mean([of["psnr_y"] for of in values["per_image"].values()])
    assert values["mean"]["psnr_y"] == pytest.approx(mean)
    assert values["parameters"] == parameters(engine.generator) and values["seconds_per_image"] > 0
    assert (values["device"], values["precision"]) == ("cpu", "fp32")
    assert (report["scale"], report["crop"], report["unit"]) == (2, 2, "image")
    assert "crop 2" in report["conventions"]["psnr_y"] and report["versions"]["torch"]

    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert list(rows[0]) == ["model", "image", "metric", "value"]
    assert (
        float(next(r for r in rows if r["model"] == one.stem and r["metric"] == "psnr_y")["value"])
        == (values["per_image"]["0000"]["psnr_y"])
    )
    assert "crop 2" in done.out and f"{two.stem} - {one.stem}" in done.out and "mean" in done.out
    # LPIPS can't be had here: said, and no number under its name.
    assert "not measured: lpips_alex" in done.out and "lpips_alex" in report["left_out"]
    assert not any("lpips" in metric for r in report["results"] for metric in r["mean"])


def test_at_scale_1_networks_are_compared_with_the_input_uncropped(sr, weights, tmp_path):
    hr, checkpoint = hr_folder(tmp_path / "hr"), weights("unet", scale=1)
    for number in range(3):
        write(tmp_path / "lr" / f"{number:04d}.png", degraded(photograph(number), 1, "blur_down"))
    command = ("evaluate", "-c", checkpoint, "--hr", hr, "--json", tmp_path / "r.json")
    refused = sr(*command)
    assert refused.code == 2
    [line] = refused.err.splitlines()
    assert line.endswith("bicubic makes LR that is HR: give --lr, or --degradation real_esrgan, classical or blur_down")
    values = []
    for given in (("--lr", tmp_path / "lr"), ("--degradation", "blur_down")):
        done = sr(*command, *given)
        assert done.code == 0, done.err
        report = json.loads((tmp_path / "r.json").read_text())
        assert [r["name"] for r in report["results"]] == ["input", checkpoint.stem] and report["crop"] == 0
        assert {d["against"] for d in report["differences"]} == {"input"}
        assert "colour_shift" not in report["left_out"] and "bicubic" not in done.out
        values.append(by_name(report)["input"]["per_image"])
    assert values[0] == values[1]
    truth = photograph(1)
    expected = metrics.peak_signal_noise_ratio(
        matlab_y(truth), matlab_y(degraded(truth, 1, "blur_down")), data_range=255
    )
    assert values[0]["0001"]["psnr_y"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["classical", "no_such"])
def test_lr_is_made_by_any_degradation_there_is(sr, weights, tmp_path, name):
    command = ("evaluate", "-c", weights(), "--hr", hr_folder(tmp_path / "hr", 1), "--degradation", name)
    done = sr(*command, "--json", tmp_path / "r.json")
    if name == "no_such":
        assert done.code == 2 and "unknown --degradation no_such: choose one of bicubic, blur_down, cl" in done.err
        return
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["degradation"] == "classical" and report["results"][0]["name"] == "bicubic"
    assert by_name(report)["bicubic"]["mean"]["colour_shift"] > 0


def test_one_network_is_compared_with_bicubic_and_lr_of_a_folder_is_used(sr, weights, tmp_path):
    hr = hr_folder(tmp_path / "hr")
    for number in range(3):  # not bicubic: brighter
        write(tmp_path / "lr/X2" / f"{number:04d}x2.png", np.clip(degraded(photograph(number)) + 9, 0, 250))
    command = ("evaluate", "-c", weights(), "--hr", hr, "--lr", tmp_path / "lr", "--json", tmp_path / "r.json")
    assert sr(*command, "--crop", 4, "--limit", 2).code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert {d["against"] for d in report["differences"]} == {"bicubic"} and report["crop"] == 4
    assert [r["name"] for r in report["results"]] == ["bicubic", "msrresnet_x2_0"]
    assert "isn't exactly MATLAB's bicubic" in report["left_out"]["bicubic (papers)"]
    expected = Engine(load_generator(weights())[0], "cpu", "fp32").upscale(
        np.array(Image.open(tmp_path / "lr/X2/0001x2.png"))
    )
    values = by_name(report)["msrresnet_x2_0"]["per_image"]
    assert list(values) == ["0000", "0001"]
    assert values["0001"]["psnr_y"] == pytest.approx(psnr_y(expected, photograph(1)[:44, :56], 4), abs=1e-6)


def test_finished_pictures_and_equal_ones(sr, tmp_path):
    hr = hr_folder(tmp_path / "hr", 2)
    for number in range(2):
        write(tmp_path / "same" / f"{number:04d}x2.png", photograph(number)[:44, :56])
        write(
            tmp_path / "other" / f"{number:04d}.png", np.clip(photograph(number).astype(int) + 3, 0, 255).astype("u1")
        )
    command = ("evaluate", "--sr", tmp_path / "same", "--sr", tmp_path / "other", "--hr", hr)
    refused = sr(*command)
    assert refused.code == 2 and "give --scale" in refused.err
    done = sr(*command, "--scale", 2, "--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv")
    assert done.code == 0, done.err
    text = (tmp_path / "r.json").read_text()
    assert "Infinity" not in text and "NaN" not in text
    results = by_name(json.loads(text))
    assert results["same"]["mean"]["psnr_y"] == "inf" and results["same"]["mean"]["ssim_y"] == pytest.approx(1)
    assert " inf" in done.out and ",psnr_y,inf" in (tmp_path / "r.csv").read_text()
    others = [np.array(Image.open(tmp_path / "other" / f"000{i}.png")) for i in (0, 1)]
    expected = [psnr_y(other[:, :56], photograph(i)[:, :56], 2) for i, other in enumerate(others)]
    assert results["other"]["mean"]["psnr_y"] == pytest.approx(np.mean(expected), abs=1e-6)
    # An infinite difference is no difference to compute with.
    assert not [d for d in json.loads(text)["differences"] if d["metric"] == "psnr_y"]

    for number in range(2):
        write(tmp_path / "lr" / f"{number:04d}.png", degraded(photograph(number)))
    assert sr(*command, "--lr", tmp_path / "lr", "--json", tmp_path / "r.json").code == 0
    assert json.loads((tmp_path / "r.json").read_text())["scale"] == 2


def test_pictures_under_other_programs_names(sr, tmp_path):
    hr = hr_folder(tmp_path / "hr", 2, "im{}.png")
    for number in range(2):
        write(tmp_path / "out" / f"im{number}_out.png", photograph(number))
        write(tmp_path / "both" / f"im{number}_out.png", photograph(number))
        write(tmp_path / "both" / f"im{number}_other.png", photograph(number))
    (tmp_path / "out" / "im0_out.gif").touch()
    done = sr("evaluate", "--hr", hr, "--sr", tmp_path / "out", "--scale", 2)
    assert done.code == 0 and "left out: 1 .gif" in done.err, done.err
    done = sr("evaluate", "--hr", hr, "--sr", tmp_path / "both", "--scale", 2)
    assert done.code == 2 and "im0_other.png or im0_out.png" in done.err and "give --suffix" in done.err
    assert sr("evaluate", "--hr", hr, "--sr", tmp_path / "both", "--scale", 2, "--suffix", "_out").code == 0


def test_grey_images_through_a_colour_network_and_through_a_grey_one(sr, weights, tmp_path):
    grey = [photograph(i)[:44, :56, 1] for i in range(2)]
    for i, image in enumerate(grey):
        write(tmp_path / "hr" / f"{i}.png", image)
    assert sr("evaluate", "-c", weights(), "--hr", tmp_path / "hr", "--json", tmp_path / "c.json").code == 0
    assert by_name(json.loads((tmp_path / "c.json").read_text()))["msrresnet_x2_0"]["mean"]["colour_shift"] > 0
    net = weights(channels=1, seed=3)
    assert sr("evaluate", "-c", net, "--hr", tmp_path / "hr", "--json", tmp_path / "g.json").code == 0
    report = json.loads((tmp_path / "g.json").read_text())
    assert (
        set(by_name(report)[net.stem]["mean"]) == {"psnr_y", "ssim_y", "fine_detail"}
        and "colour_shift" in report["left_out"]
    )
    expected = Engine(load_generator(net)[0], "cpu", "fp32").upscale(degraded(grey[0][..., None]))
    value = by_name(report)[net.stem]["per_image"]["0"]["psnr_y"]
    assert value == pytest.approx(psnr_y(expected.repeat(3, 2), grey[0][..., None].repeat(3, 2), 2), abs=1e-6)


def test_bicubic_of_set5_is_the_published_one():
    if not SET5.is_dir():
        pytest.skip(f"Set5 is not at {SET5}")
    scenes = image_scenes(SET5 / "HR", SET5 / "LRx4", 4, 3, None)
    protocol = Protocol(metrics_config(4), 4, DEGRADATIONS["bicubic"](scale=4), False, 3, torch.device("cpu"))
    bicubic, published = measure(scenes, [Baseline(4, "centred")], protocol, 4, with_papers=True)
    assert round(published.mean["psnr_y"], 2) == 28.42
    assert round(published.mean["ssim_y"], 3) == 0.810 and round(published.mean["ssim_y"], 4) == 0.8104
    assert bicubic.mean["psnr_y"] == pytest.approx(28.43, abs=0.005)  # as RGB, the networks' way
    assert len(bicubic.per_image) == 5


# -- clips -------------------------------------------------------------------------------------------------


def corner(path):
    """A file of weights with what TecoGAN-PyTorch's has, by which the kind of LR is known."""
    state = torch.load(path)["params"]
    torch.save({"params": {**state, "upsample_func.kernels": torch.zeros(4, 4)}}, path)
    return path


def clip_frames(count=7):
    return [chelsea()[50 + 2 * t :, 100 + t :][:64, :66] for t in range(count)]


def test_clips_through_a_recurrent_and_an_image_network(sr, weights, tmp_path):
    for clip in ("a", "b"):
        for t, frame in enumerate(clip_frames()):
            write(tmp_path / "hr" / clip / f"{t:03d}.png", frame if clip == "a" else frame[::-1])
    video, other, image = corner(weights("frvsr", phase="corner")), weights("frvsr", seed=1), weights()
    command = ("evaluate", "-c", video, "-c", image, "--hr", tmp_path / "hr", "--json", tmp_path / "r.json")
    mixed = sr(*command, "-c", other)
    assert mixed.code == 2 and "--degradation bicubic or blur_down" in mixed.err
    moved = sr(*command, "--degradation", "bicubic", "--frames", 1)
    assert f"note: {video.stem} is for LR pixels with phase=corner" in moved.out
    done = sr(*command, "--save", tmp_path / "saved")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["unit"] == "clip" and report["degradation"] == "blur_down" and "clips" in report["conventions"]
    assert "note:" not in done.out
    engine = Engine(load_generator(video)[0], "cpu", "fp32")
    for clip, frames in (("a", clip_frames()), ("b", [frame[::-1] for frame in clip_frames()])):
        engine.start_clip()  # each clip begins anew
        expected = [engine.next_frame(degraded(frame[:, :66], kind="blur_down")) for frame in frames]
        values = by_name(report)[video.stem]["per_image"][clip]
        wanted = np.mean([psnr_y(s, f[:64, :66], 2) for s, f in zip(expected, frames, strict=True)])
        assert values["psnr_y"] == pytest.approx(wanted, abs=1e-6)
        assert {"tof", "warping_error"} <= set(values) and math.isfinite(values["tof"])
    assert "tlp_alex" in report["left_out"]
    assert len(list((tmp_path / "saved" / video.stem / "b").glob("*.png"))) == 7


def test_a_flat_folder_of_frames_is_one_clip_and_short_clips_have_no_tof(sr, weights, tmp_path):
    for t, frame in enumerate(clip_frames(4)):
        write(tmp_path / "gt" / f"{t:03d}.png", frame)
        write(tmp_path / "low" / f"{t:03d}.png", degraded(frame))
        write(tmp_path / "theirs" / f"{t:03d}.png", frame)
    net = weights("frvsr")
    done = sr("evaluate", "-c", net, "--sr", tmp_path / "theirs", "--hr", tmp_path / "gt", "--lr", tmp_path / "low",
              "--frames", 3, "--json", tmp_path / "r.json")  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert list(by_name(report)[net.stem]["per_image"]) == ["gt"]
    assert by_name(report)["theirs"]["mean"]["psnr_rgb"] == "inf"
    assert "at least 6 frames" in report["left_out"]["tof of gt"]
    assert "tof" not in by_name(report)[net.stem]["mean"] and "warping_error" in by_name(report)[net.stem]["mean"]
    assert next(d for d in report["differences"])["low"] is None  # one clip has no interval


@pytest.mark.slow
def test_a_video_beside_frames_with_lpips_where_there_are_weights(sr, tmp_path, monkeypatch):
    import av
    import torchvision

    torch.manual_seed(0)
    features = torchvision.models.alexnet(weights=None).features.eval().requires_grad_(False)
    monkeypatch.setattr("sr_experiments.metrics.lpips.pretrained_features", lambda name: features)
    frames = [np.ascontiguousarray(frame[:64, :64]) for frame in clip_frames()]
    for t, frame in enumerate(frames):
        write(tmp_path / "theirs/clip" / f"{t}.png", frame)
    (tmp_path / "hr").mkdir()
    with av.open(str(tmp_path / "hr/clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", 25, width=64, height=64, pix_fmt="bgr0")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    for hr in (tmp_path / "hr", tmp_path / "hr/clip.mkv"):
        done = sr("evaluate", "--hr", hr, "--sr", tmp_path / "theirs", "--scale", 2, "--json", tmp_path / "r.json")
        assert done.code == 0, done.err
        results = by_name(json.loads((tmp_path / "r.json").read_text()))
        assert results["theirs"]["mean"] == pytest.approx(
            {"psnr_y": "inf", "psnr_rgb": "inf", "ssim_y": 1, "ssim_rgb": 1, "lpips_alex": 0, "tof": 0, "tlp_alex": 0}
            | {"fine_detail": 0}
            | {key: results["theirs"]["mean"][key] for key in ("colour_shift", "warping_error")}
        )
        assert results["bicubic"]["mean"]["lpips_alex"] > 0 and results["bicubic"]["mean"]["tof"] > 0
        assert "alex trunk" in done.out


def test_frames_are_read_once_and_in_order_however_many_there_are():
    class Watched(Candidate):
        lookahead = 2

        def start(self, scene):
            self.seen = []

        def frame(self, number, lr, *later):
            self.seen.append((number, len(later)))
            return np.zeros((64, 66, 3), np.uint8)

    from sr_experiments.evaluation.scenes import Scene

    read = []
    frame = clip_frames(1)[0]
    scene = Scene("clip", 5, (64, 66), lambda n: (read.append(n), frame)[1], None, SET5)
    watched, done = Watched("watched", ""), []
    protocol = Protocol(metrics_config(2), 2, DEGRADATIONS["bicubic"](scale=2), False, 3, torch.device("cpu"))
    measure([scene], [watched], protocol, 2, progress=lambda *at: done.append(at))
    assert read == list(range(5)) and done[-1] == (5, 5, "clip")
    assert watched.seen == [(0, 2), (1, 2), (2, 2), (3, 1), (4, 0)]


# -- what is computed from values --------------------------------------------------------------------------


def test_confidence_interval_of_paired_differences_is_scipys():
    from scipy import stats

    a, b = np.random.default_rng(0).normal(30, 2, (2, 12))
    ours = Result("a", "", {str(i): {"psnr_y": float(v)} for i, v in enumerate(a)})
    theirs = Result("b", "", {str(i): {"psnr_y": float(v)} for i, v in enumerate(b)})
    found = difference(ours, theirs, "psnr_y")
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.mean == pytest.approx((a - b).mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high)) and found.images == 12
    single = difference(Result("a", "", {"0": {"m": 1.0}}), Result("b", "", {"0": {"m": 3.0}}), "m")
    assert (single.mean, single.low, single.high) == (-2.0, None, None)
    assert difference(Result("a", "", {"0": {"m": math.inf}}), theirs, "m") is None


def test_the_best_are_bold_whichever_way_is_better():
    def result(name, psnr, shift, **more):
        made = Result(name, "", {"x[1]": {"psnr_y": psnr, "colour_shift": shift}}, **more)
        made.take_means()
        return made

    results = [result("one", 30.0, 2.0), result("papers", 99.0, 0.0, own_protocol=True), result("two", 31.0, 3.0)]
    better = {"psnr_y": True, "colour_shift": False}
    digits = {"psnr_y": 2, "colour_shift": 4}
    report = Report(results, [], 2, 2, "image", "bicubic", {}, {}, better, digits)
    assert report.best("psnr_y") == {"two"} and report.best("colour_shift") == {"one"}
    console = Console(force_terminal=True, width=100, color_system="standard")
    with console.capture() as shown:
        print_values(report, console)
    assert "\x1b[1m31.00" in shown.get() and "\x1b[1m30.00" not in shown.get() and "x[1]" in shown.get()


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_operations_are_those_of_the_papers_networks():
    msrresnet = GENERATORS["msrresnet"](scale=4)
    assert macs_per_pixel(msrresnet) == pytest.approx(2.54e6, rel=0.01) and parameters(msrresnet) == 1_517_571
    frvsr = GENERATORS["frvsr"](scale=4)
    assert macs_per_pixel(frvsr) == pytest.approx(1.11e6, rel=0.01) and parameters(frvsr) == 2_589_093


def test_names_are_short_and_unique(tmp_path):
    runs = [tmp_path / "gan/0/checkpoints/best.ckpt", tmp_path / "pixel/0/checkpoints/best.ckpt"]
    assert unique_names(runs) == ["gan/0 best", "pixel/0 best"]
    assert unique_names([tmp_path / "net.pth", tmp_path / "net.pth"]) == ["net", "net (2)"]
    assert unique_names([tmp_path / "bicubic"]) == ["bicubic (2)"]
    (tmp_path / "my.run").mkdir()
    assert unique_names([tmp_path / "my.run"]) == ["my.run"]


# -- mistakes ----------------------------------------------------------------------------------------------


def test_mistakes_are_one_line_that_names_the_thing(sr, weights, tmp_path):
    hr, net = hr_folder(tmp_path / "hr", 2), weights()
    (tmp_path / "empty").mkdir()
    write(tmp_path / "odd/0000.png", degraded(photograph(0)))
    write(tmp_path / "big/0000.png", photograph(0))
    write(tmp_path / "big/0001.png", photograph(1))
    hr_folder(tmp_path / "torn", 2)
    (tmp_path / "torn/0001.png").write_bytes((tmp_path / "torn/0001.png").read_bytes()[:900])
    write(tmp_path / "sets/one/baby.png", photograph(0))
    x4 = weights(scale=4)
    video = weights("frvsr")
    for arguments, said in (
        (("--hr", hr), "give --checkpoint or --sr"),
        (("--hr", tmp_path / "nowhere", "-c", net), "no folder"),
        (("--hr", tmp_path / "empty", "-c", net), "no images in"),
        (("--hr", hr, "-c", net, "-c", x4), "different scales (msrresnet_x2_0 x2, msrresnet_x4_0 x4)"),
        (("--hr", hr, "-c", net, "--lr", tmp_path / "odd"), "HR 0001.png has no LR"),
        (("--hr", hr, "-c", net, "--lr", tmp_path / "big"), "should be 28x22, but it is 57x44"),
        (("--hr", hr, "--sr", tmp_path / "odd", "--scale", 2), "HR 0001.png has no SR"),
        (("--hr", tmp_path / "big", "--sr", hr_folder(tmp_path / "s", 2), "--scale", 2, "--crop", 40), "too small"),
        (("--hr", tmp_path / "torn", "-c", net), "0001.png"),
        (("--hr", hr, "-c", video, "--images"), "without --images"),
        (("--hr", hr, "-c", net, "--scale", 3), "leave it out"),
        (("--hr", hr, "-c", tmp_path / "no.pth"), "no checkpoint"),
        (("--hr", hr, "-c", net, "--json", tmp_path), "is a folder: name a file"),
        (("--hr", tmp_path / "sets", "-c", net), "has no number in its name"),
        (("--hr", tmp_path / "sets", "-c", net), "give --images"),
    ):
        done = sr("evaluate", *arguments)
        assert done.code == 2 and said in done.err, (arguments, done.err)
        assert done.err.startswith("error: ") and done.err.count("\n") == 1, done.err


def test_small_finished_pictures_are_named_with_both_sizes(sr, tmp_path):
    hr = hr_folder(tmp_path / "hr", 2)
    for number in range(2):
        write(tmp_path / "sr" / f"{number:04d}.png", degraded(photograph(number)))
    done = sr("evaluate", "--hr", hr, "--sr", tmp_path / "sr", "--scale", 2)
    assert done.code == 2 and "0000.png is 28x22" in done.err and "asks for 56x44" in done.err
