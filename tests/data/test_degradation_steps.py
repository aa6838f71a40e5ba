"""The other steps of degradations, each against an independent reference: resize, JPEG, H.264, sharpening, order."""

import io
import math
import os
import sys

import av
import av.filter
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sr_experiments.data.degradations.steps import STEPS, build_step
from sr_experiments.data.degradations.steps.canvas import join
from sr_experiments.data.degradations.steps.compression import CODERS, compress
from sr_experiments.data.degradations.steps.interlace import through_fields
from sr_experiments.data.degradations.steps.jpeg import jpeg
from sr_experiments.data.degradations.steps.per_image import compress_jpeg
from sr_experiments.data.degradations.steps.resize import MODES, interpolation
from sr_experiments.data.degradations.steps.sharpen import sharpen
from sr_experiments.errors import SRError
from tests.conftest import scheduling_policies
from tests.data.canvases import canvas_of, image_of, noise_images, photograph, rng

# -- resize --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize("factor", [0.15, 0.41, 0.77, 1.0, 1.13, 1.5])
def test_resize_is_interpolate_of_each_image(factor):
    images = noise_images((64, 50), (37, 41), (64, 64), (20, 64), (33, 33), (21, 57))
    mode = torch.tensor([0, 1, 2, 0, 1, 2])
    step = build_step({"name": "resize", "factor": [0.1, 2]})
    parameters = {"factor": torch.full((6,), factor, dtype=torch.float64), "mode": mode}
    made = step.apply(canvas_of(images), parameters, rng())
    for i, image in enumerate(images):
        size = [math.floor(side * factor) for side in image.shape[1:]]
        arguments = {} if mode[i] == 0 else {"align_corners": False}
        expected = F.interpolate(image[None], size=size, mode=MODES[int(mode[i])], **arguments)[0]
        torch.testing.assert_close(image_of(made, i), expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("each_path")
def test_each_image_has_its_own_factor_and_all_come_back_to_one_size():
    images = noise_images(*[(48, 40)] * 16)
    up_down = build_step({"name": "resize", "kinds": {"up": 0.2, "down": 0.7, "keep": 0.1}, "factor": [0.15, 1.5]})
    canvas = canvas_of(images, lr_size=(12, 10))
    small = up_down.apply(canvas, up_down.draw(16, 1, rng()), rng())
    assert len(small.heights.unique()) > 8
    back = build_step({"name": "resize", "of": "lr"})
    done = back.apply(small, back.draw(16, 1, rng()), rng())
    assert done.pixels.shape == (16, 3, 12, 10)
    assert done.pixels.max() < 2  # nothing from beyond the images


def test_resize_draws_up_down_and_keep_as_often_as_asked():
    step = build_step({"name": "resize", "kinds": {"up": 0.2, "down": 0.7, "keep": 0.1}, "factor": [0.15, 1.5]})
    factor = step.draw(20000, 1, rng())["factor"]
    assert (factor > 1).double().mean().item() == pytest.approx(0.2, abs=0.012)
    assert (factor == 1).double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert factor.min() >= 0.15 and factor.max() <= 1.5


@pytest.mark.parametrize("mode", range(3))
def test_resized_rows_of_weights_sum_to_1_and_centres_stay(mode):
    for old, new in ((64, 41), (50, 73), (33, 8), (128, 32)):
        matrix = interpolation(torch.tensor([old]), torch.tensor([new]), torch.tensor([mode]), old, torch.device("cpu"))
        torch.testing.assert_close(matrix.sum(2), torch.ones(1, new))
        places = (matrix[0].double() @ (torch.arange(old).double() + 0.5)).mean() / old
        assert places.item() == pytest.approx(0.5, abs=1e-6)


# -- JPEG ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 85, 95, 100])
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_jpeg_is_pillows_within_half_a_level_on_average(name, quality):
    whole = photograph(name)
    sizes = ((128, 128), (125, 131), (64, 50), (17, 16), (9, 7))
    images = [whole[:, 60 : 60 + h, 90 : 90 + w] for h, w in sizes]
    canvas = canvas_of(images)
    made = canvas.with_pixels(jpeg(canvas, torch.full((len(images),), float(quality))))
    errors = []
    for i, image in enumerate(images):
        buffer = io.BytesIO()
        levels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
        expected = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float()
        errors.append((image_of(made, i) * 255 - expected).abs().mean().item())
    # Of few pixels, one coefficient that is rounded otherwise is much.
    assert np.mean(errors[:3]) < 0.5 and max(errors) < 2.5


def test_each_image_has_its_own_quality():
    image = photograph()[:, :64, :64]
    made = jpeg(canvas_of([image] * 3), torch.tensor([30.0, 60.0, 90.0]))[..., :64, :64]
    errors = (made - image).abs().mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2] > 0
    alone = jpeg(canvas_of([image]), torch.tensor([60.0]))[..., :64, :64]
    assert torch.equal(made[1:2], alone)


def test_grey_images_are_compressed_as_grey_ones():
    image = photograph()[1:2, :63, :40]
    canvas = canvas_of([image])
    made, real = (f(canvas, torch.tensor([50.0]))[..., :63, :40] for f in (jpeg, compress_jpeg))
    assert (made - real).abs().mean() * 255 < 0.3


def test_real_true_is_pillow_itself():
    image = photograph()[:, :40, :60]
    step = build_step({"name": "jpeg", "quality": [40, 40], "real": True})
    made = image_of(step.apply(canvas_of([image]), step.draw(1, 1, rng()), rng()), 0)
    buffer = io.BytesIO()
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=40)
    assert torch.equal((made * 255).round().byte().permute(1, 2, 0), torch.from_numpy(np.array(Image.open(buffer))))


# -- H.264, sharpening, order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "channels"), [("h264", 3), ("h264", 1), ("hevc", 3), ("av1", 3)])
def test_a_codec_keeps_the_clip_and_loses_more_at_a_higher_crf(codec, channels):
    still = photograph()[:channels, 100:163, 200:249]  # odd sides
    clip = [still.roll(t, 2) for t in range(4)]
    step = build_step({"name": "codec", "codecs": {codec: 1}, "crf": [0, 51]})
    errors = []
    for crf in (10, 25, 45):
        parameters = step.draw(2, 4, rng()) | {"crf": torch.full((8,), float(crf))}
        canvas = canvas_of([*clip, *clip], frames=4)
        made = step.apply(canvas, parameters, rng())
        assert torch.equal(made.pixels, step.apply(canvas, parameters, rng()).pixels)
        parts = torch.stack([image_of(made, i) for i in range(8)])
        assert torch.equal(parts[:4], parts[4:])
        errors.append((parts[:4].mean(1) - torch.stack(clip).mean(1)).abs().mean().item() * 255)
    assert 0 < errors[0] < 3 and errors[0] < errors[1] < errors[2] < 25


@pytest.mark.parametrize(
    ("codec", "preset", "size", "frames"),
    [
        ("h264", "medium", (272, 480), 30),
        ("hevc", "veryfast", (272, 480), 5),
        ("hevc", "veryfast", (32, 48), 8),
        ("av1", "10", (32, 48), 8),
    ],
)
def test_a_codec_gives_the_same_bits_each_time(codec, preset, size, frames):
    photo = (photograph() * 255).byte().permute(1, 2, 0).numpy()
    clip = np.stack([np.roll(photo, (i, 2 * i), (0, 1))[: size[0], : size[1]] for i in range(frames)])
    coder = CODERS[codec]._replace(options={**CODERS[codec].options, "preset": preset})
    first = compress(clip, 23, coder)
    for _ in range(4):
        np.testing.assert_array_equal(compress(clip, 23, coder), first)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="lists threads as Linux does")
@pytest.mark.parametrize("codec", CODERS)
def test_a_codec_leaves_this_process_its_priority(codec):
    clip = (photograph() * 255).byte().permute(1, 2, 0).numpy()[None, :96, :96]
    compress(clip, 30, CODERS[codec])
    assert scheduling_policies() == {os.SCHED_OTHER}


def test_codecs_are_drawn_by_their_weights_and_a_missing_one_is_one_line(monkeypatch):
    step = build_step({"name": "codec", "codecs": {"h264": 3, "av1": 1}, "crf": [20, 30]})
    drawn = step.draw(400, 2, rng())
    labels = [step.describe(drawn, i) for i in range(0, 800, 2)]
    assert 0.68 < np.mean([label.startswith("h264") for label in labels]) < 0.82
    crfs = {kind: [int(label.split()[-1]) for label in labels if label.startswith(kind)] for kind in ("h264", "av1")}
    assert (min(crfs["h264"]), max(crfs["h264"])) == (20, 30) and (min(crfs["av1"]), max(crfs["av1"])) == (32, 42)
    assert torch.equal(drawn["codec"][::2], drawn["codec"][1::2])
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libsvtav1"})
    with pytest.raises(SRError, match="this build of PyAV has no libsvtav1: leave av1 out of the codecs of step codec"):
        build_step({"name": "codec", "codecs": {"h264": 3, "av1": 1}, "crf": [20, 30]})
    build_step({"name": "codec", "codecs": {"h264": 3, "av1": 0}, "crf": [20, 30]})


@pytest.mark.parametrize("name", ["bwdif", "yadif"])
@pytest.mark.parametrize("top_first", [True, False])
def test_a_deinterlaced_clip_keeps_one_field_of_each_frame_and_guesses_the_other(name, top_first):
    photo = (photograph() * 255).byte().permute(1, 2, 0).numpy()
    clip = np.stack([np.roll(photo, 3 * t, 1)[100:161, 200:245] for t in range(5)])  # odd number, odd sides
    made = through_fields(clip, name, top_first, low_pass=False)
    assert made.shape == clip.shape
    for t in range(5):
        kept = (t + 1 - top_first) % 2
        np.testing.assert_array_equal(made[t, kept::2], clip[t, kept::2])
        guessed = np.abs(made[t, 1 - kept :: 2].astype(int) - clip[t, 1 - kept :: 2])
        assert 0.5 < guessed.mean() < 12  # of a neighbouring frame it would be more
    still = clip[:1].repeat(4, 0)
    assert np.abs(through_fields(still, name, top_first, low_pass=False).astype(int) - still).mean() < 1
    assert through_fields(still, name, top_first, low_pass=True)[0].astype(float).std() < still[0].std()
    for shape in ((1, 2, 3, 3), (2, 1, 1, 3)):
        assert (
            through_fields(np.full(shape, 90, np.uint8), name, top_first, low_pass=True).tolist()
            == np.full(shape, 90).tolist()
        )


def test_clips_are_deinterlaced_by_a_filter_drawn_for_each_and_a_missing_one_is_one_line(monkeypatch):
    step = build_step({"name": "interlace", "filters": {"bwdif": 3, "yadif": 1}, "low_pass": 0.25})
    drawn = step.draw(400, 2, rng())
    labels = [step.describe(drawn, i) for i in range(0, 800, 2)]
    assert 0.68 < np.mean([label.startswith("bwdif") for label in labels]) < 0.82
    assert 0.18 < np.mean([label.endswith("low-pass") for label in labels]) < 0.32
    assert all(torch.equal(drawn[key][::2], drawn[key][1::2]) for key in ("filter", "top_first", "low_pass"))
    clip = [photograph()[:, 100:164, 200:264].roll(4 * t, 2) for t in range(4)]
    made = step.apply(canvas_of(clip, frames=4), step.draw(1, 4, rng()), rng())
    for t in range(4):
        assert 0.3 < (image_of(made, t) - clip[t]).abs().mean() * 255 < 12
    monkeypatch.setattr(av.filter, "filters_available", av.filter.filters_available - {"yadif"})
    with pytest.raises(SRError, match="this build of PyAV has no yadif: leave it out of the filters of step interlace"):
        build_step({"name": "interlace", "filters": {"bwdif": 3, "yadif": 1}})


def test_sharpening_is_that_of_opencv():
    import cv2

    hr = torch.stack([photograph()[:, :150, :170], photograph("coffee")[:, 100:250, 100:270]])
    made = sharpen(hr)
    for image, sharp in zip(hr, made, strict=True):
        pixels = image.permute(1, 2, 0).numpy()
        residual = pixels - cv2.GaussianBlur(pixels, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)
        mask = (np.abs(residual) * 255 > 10).astype(np.float32)
        soft = cv2.GaussianBlur(mask, (51, 51), 0, borderType=cv2.BORDER_REFLECT_101)
        expected = soft * np.clip(pixels + 0.5 * residual, 0, 1) + (1 - soft) * pixels
        # A residual of just 10 levels may fall on either side of the threshold.
        assert np.abs(sharp.permute(1, 2, 0).numpy() - expected).mean() < 1e-5
    flat = torch.full((1, 3, 6, 9), 0.3)
    torch.testing.assert_close(sharpen(flat), flat)


def test_random_order_does_both_orders_each_for_its_images():
    groups = [[{"name": "resize", "of": "lr", "modes": {"area": 1}}], [{"name": "jpeg", "quality": [50, 50]}]]
    step = build_step({"name": "random_order", "groups": groups})
    image = photograph()[:, :32, :32]
    drawn = step.draw(12, 1, rng())
    canvas = canvas_of([image] * 12, lr_size=(16, 16))
    made = step.apply(canvas, drawn, rng())
    resize_first = compress_jpeg(canvas_of([F.avg_pool2d(image, 2)]), torch.tensor([50.0]))[0, :, :16, :16]
    jpeg_first = F.avg_pool2d(compress_jpeg(canvas_of([image]), torch.tensor([50.0]))[0, :, :32, :32], 2)
    assert 2 < drawn["order"].sum() < 10
    for i, order in enumerate(drawn["order"].tolist()):
        torch.testing.assert_close(image_of(made, i), (resize_first, jpeg_first)[order], atol=1e-5, rtol=0)


def test_taking_images_apart_and_joining_them_changes_nothing():
    images = noise_images((5, 7), (3, 9), (8, 2), (4, 4))
    canvas = canvas_of(images)
    parts = [(i, canvas.take(i)) for i in (torch.tensor([2, 0]), torch.tensor([3]), torch.tensor([1]))]
    joined = join(parts)
    assert all(torch.equal(image_of(joined, i), image) for i, image in enumerate(images))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"name": "blurr"}, "unknown degradation step 'blurr'.*jpeg"),
        ({"name": "jpeg", "quallity": [1, 2]}, "did you mean quality"),
        ({"name": "jpeg"}, "needs quality"),
        ({"name": "jpeg", "quality": [95, 30]}, "quality is .*ascending"),
        ({"name": "jpeg", "quality": 50}, "give two numbers"),
        ({"name": "jpeg", "quality": [30, 101]}, "quality.1 is 101: give a number of at least 1 and at most 100"),
        ({"name": "blur", "kinds": {"isso": 1}, "sigma": [1, 2]}, "kinds of .* has no argument isso: did you mean iso"),
        ({"name": "blur", "kinds": {"iso": 1}, "sigma": [0, 2]}, "sigma.0 is 0: give a number of at least 0.01"),
        ({"name": "blur", "kinds": {"iso": 1}, "sigma": [1, 2], "size": [8, 20]}, "odd"),
        (
            {"name": "noise", "gaussian": [1, 2], "probability": 2},
            "at least 0 and at most 1",
        ),
        ({"name": "resize", "factor": [1.2, 1.5]}, "around 1"),
        ({"name": "resize", "of": "hr"}, "of is 'hr': give input or lr"),
        ({"name": "random_order", "groups": [[{"name": "jpeg", "quality": [30, 95]}]]}, "two or three"),
        ("jpeg", "give its name and its arguments"),
    ],
)
def test_mistakes_in_a_step_get_one_line(config, says):
    with pytest.raises(SRError, match=says):
        build_step(config)


def test_every_step_says_what_it_did():
    made = {
        "blur": {"kinds": {"iso": 1}, "sigma": [1, 2]},
        "motion": {"length": [1, 2]},
        "defocus": {"radius": [1, 2]},
        "noise": {"gaussian": [1, 2]},
        "jpeg": {"quality": [30, 95]},
        "h264": {"crf": [18, 30]},
        "codec": {"codecs": {"h264": 1, "hevc": 1, "av1": 1}, "crf": [18, 30]},
        "interlace": {"filters": {"bwdif": 1, "yadif": 1}},
        "image_codec": {"formats": {"webp": 1}, "quality": [30, 95]},
        "random_order": {"groups": [[{"name": "sinc"}], [{"name": "resize"}]]},
    }
    for name in STEPS:
        step = build_step({"name": name, **made.get(name, {})})
        assert step.describe(step.draw(2, 1, rng()), 1)


# -- JPEG, WebP and AVIF of images ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_codecs_are_pillows(name, channels):
    images = [photograph("chelsea")[:channels, 60 : 60 + h, 90 : 90 + w] for h, w in ((64, 50), (17, 31))]
    step = build_step({"name": "image_codec", "formats": {name: 1}, "quality": [30, 60]})
    parameters = step.draw(2, 1, rng())
    made = step.apply(canvas_of(images), parameters, rng())
    for i, image in enumerate(images):
        file = io.BytesIO()
        levels = (image * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        settings = {"avif": {"speed": 8, "max_threads": 1}}.get(name, {})
        Image.fromarray(levels).save(file, name, quality=int(parameters["quality"][i]), **settings)
        expected = np.asarray(Image.open(file).convert("RGB"))[..., :channels]
        assert np.array_equal((image_of(made, i) * 255).round().byte().permute(1, 2, 0).numpy(), expected)
        assert 20 < 10 * math.log10(255**2 / np.square(expected - levels[..., :channels].astype(float)).mean()) < 50
    again = step.apply(canvas_of(images), parameters, rng())
    assert torch.equal(again.pixels, made.pixels)
    assert step.describe(parameters, 0) == f"{name} {parameters['quality'][0]:.0f}"


def test_formats_are_drawn_by_their_weights_and_frames_of_a_clip_have_one():
    step = build_step({"name": "image_codec", "formats": {"webp": 3, "avif": 1}, "quality": [40, 90]})
    drawn = step.draw(4000, 2, rng())
    assert torch.equal(drawn["format"][::2], drawn["format"][1::2])
    assert (drawn["format"] == 1).double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert {step.describe(drawn, i).split()[0] for i in range(20)} == {"webp", "avif"}


def test_a_format_that_pillow_lacks_is_named(monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    with pytest.raises(SRError, match="Pillow has no avif: leave it out"):
        build_step({"name": "image_codec", "formats": {"avif": 1}, "quality": [40, 90]})
    build_step({"name": "image_codec", "formats": {"avif": 0, "webp": 1}, "quality": [40, 90]})
