"""Sizes and strengths that are asked for: `--scale`, `--width`, `--height`, `--longest`, `--strength`."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.data.cubic import resize_pixels
from sr_experiments.data.resize import imresize
from sr_experiments.errors import SRError
from sr_experiments.inference.options import Options
from sr_experiments.inference.sizes import Enlarger, WantedSize
from tests.inference.films import film, rgb, upscale, write


def pixels(height, width, channels=3, kind=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (height, width, channels), kind)


@pytest.mark.parametrize("size", [(70, 31), (20, 90), (200, 33), (1, 1)])
def test_pixels_are_resized_as_matlab_does(size):
    image = pixels(70, 90)
    expected = imresize(torch.from_numpy(image / 255).permute(2, 0, 1)[None], size)
    np.testing.assert_array_equal(resize_pixels(image, size), np.rint(expected[0].permute(1, 2, 0).numpy() * 255))


def test_all_16_bits_are_resized():
    image = pixels(40, 50, 1, np.uint16)
    exact = imresize(torch.from_numpy(image / 65535).permute(2, 0, 1)[None], (21, 50), bits="float")
    expected = np.rint(exact[0].permute(1, 2, 0).numpy() * 65535).clip(0, 65535)
    assert np.abs(resize_pixels(image, (21, 50)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, (60, 80)), ({"scale": 1.5}, (45, 60)), ({"scale": 3}, (90, 120)), ({"width": 100}, (75, 100)),
     ({"height": 33}, (33, 44)), ({"longest": 200}, (150, 200)), ({"width": 100, "height": 30}, (30, 40)),
     ({"scale": 0.5}, (15, 20))],
)  # fmt: skip
def test_a_picture_has_the_size_that_was_asked_for(nearest, options, size):
    image = pixels(30, 40)
    made = Enlarger.of(nearest, Options(**options))(image)
    assert made.shape[:2] == size
    large = image.repeat(4, 0).repeat(4, 1) if max(size) > 80 else image.repeat(2, 0).repeat(2, 1)
    if max(size) <= 160:  # one or two passes of a network that repeats pixels, then imresize
        np.testing.assert_array_equal(made, resize_pixels(large, size))


def test_what_is_made_on_the_way_has_to_fit_into_memory(nearest):
    with pytest.raises(SRError, match="in 3 passes the network makes 640000x640000, more than there is memory for"):
        Enlarger(nearest, WantedSize(scale=7)).size(80_000, 80_000)


def test_the_command_makes_images_of_a_size_with_their_transparency(sr, weights, tmp_path):
    Image.fromarray(pixels(20, 30, 4)).save(tmp_path / "in.png")
    arguments = ("-c", weights("msrresnet", 2), "--device", "cpu")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "--longest", "75", *arguments)
    assert done.code == 0 and "75x50" in done.out, done.err
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (75, 50) and image.mode == "RGBA"
    refused = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "no.png", "--width", "9000", *arguments)
    assert refused.code == 2 and "in.png: can't make 9000x6000 of 30x20: this network enlarges by 2" in refused.err
    refused = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "no.png", "--scale", "2", "--width", "9", *arguments)
    assert refused.code == 2 and "--scale and --width or --height are two ways" in refused.err
    for command in ("upscale", "tune"):
        refused = sr(command, tmp_path / "in.png", "-o", tmp_path / "no.png", "--scale", "inf", *arguments)
        assert refused.code == 2 and "--scale" in refused.err
    assert not (tmp_path / "no.png").exists()


def test_a_strength_of_any_network_mixes_it_with_bicubic(sr, weights, tmp_path):
    Image.fromarray(pixels(20, 30)).save(tmp_path / "in.png")
    made = {}
    for strength in ("0", "0.25", "1"):
        target = tmp_path / f"{strength}.png"
        done = sr("upscale", tmp_path / "in.png", "-o", target, "-c", weights(), "--strength", strength)
        assert done.code == 0, done.err
        made[strength] = np.array(Image.open(target)).astype(float)
    assert np.abs(made["0.25"] - (0.75 * made["0"] + 0.25 * made["1"])).max() <= 0.5 + 1e-3
    assert np.abs(made["0"] - made["1"]).max() > 10


def test_videos_have_even_sizes_and_the_aspect_of_their_pixels(nearest, tmp_path):
    source = write(tmp_path / "in.mp4", film(4), aspect=Fraction(4, 3))
    assert upscale(nearest, source, tmp_path / "out.mp4", width=51).width == 52
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.pix_fmt) == (52, 38, "yuv420p")
        assert stream.sample_aspect_ratio == Fraction(4, 3) and sum(1 for _ in container.decode(video=0)) == 4
    whole = [frame.repeat(2, 0).repeat(2, 1) for frame in rgb(source)]
    assert np.abs(rgb(tmp_path / "out.mp4")[0].astype(int) - resize_pixels(whole[0], (38, 52))).mean() < 8


def test_the_width_of_a_video_on_its_side_is_that_of_the_upright_picture(nearest, tmp_path):
    source = write(tmp_path / "in.mp4", film(2), rotation=90)
    upscale(nearest, source, tmp_path / "out.mp4", width=36, preview=1.0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.rotation, frame.width, frame.height) == (90, 48, 36)
    assert (tmp_path / "out.preview.mp4").is_file()


def test_another_size_is_other_work_to_resume(nearest, tmp_path, monkeypatch):
    source = write(tmp_path / "in.mp4", film(2))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sr_experiments.inference.video.upscale._join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upscale(nearest, source, tmp_path / "out.mp4", scale=1.5)
    monkeypatch.undo()
    with pytest.raises(SRError, match=r"a different size \(--scale 1.5, now --scale 1.25\)"):
        upscale(nearest, source, tmp_path / "out.mp4", scale=1.25, resume=True)
    assert upscale(nearest, source, tmp_path / "out.mp4", scale=1.5, resume=True).frames == 2


def test_a_network_for_video_goes_over_a_frame_once(weights):
    from sr_experiments.inference.loading import load_engine

    engine, _ = load_engine([weights("frvsr", 4)], Options(device="cpu"))
    assert Enlarger(engine, WantedSize(scale=3)).size(10, 20) == (30, 60)
    with pytest.raises(SRError, match="can't make 100x50 of 20x10: this network enlarges by 4, 4 at most in one pass"):
        Enlarger(engine, WantedSize(scale=5)).size(10, 20)
