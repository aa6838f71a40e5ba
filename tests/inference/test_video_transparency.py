"""Transparency of a video is kept where the output can hold it, and said to be lost where it can't."""

import av
import numpy as np
import pytest
from PIL import Image

from sr_experiments.errors import SRError
from sr_experiments.inference.options import Options
from sr_experiments.inference.video.upscale import upscale_frames
from sr_experiments.video.encode import choose_encoding
from sr_experiments.video.source import VideoSource
from sr_experiments.video.trial import try_output
from tests.conftest import others_slow
from tests.inference.films import QUIET, film, upscale, write

LOST = "transparency was lost"
KINDS = {
    "rle.mov": ("qtrle", "argb"),
    "png.mov": ("png", "rgba"),
    "prores.mov": ("prores_ks", "yuva444p10le"),
    "vp9.webm": ("libvpx-vp9", "yuva420p"),
    "vp8.webm": ("libvpx", "yuva420p"),
    "ffv1.mkv": ("ffv1", "yuva422p10le"),
}


def sheer(path, codec, pix_fmt, frames=4, height=48, width=64):
    """A video that is transparent on the left, at 40 of 255, and opaque on the right."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if codec.startswith("libvpx"):
            stream.options = {"auto-alt-ref": "0", "crf": "4", "b": "0"}
            stream.metadata["alpha_mode"] = "1"
        for pixels in film(frames, height, width):
            alpha = np.full((height, width, 1), 255, np.uint8)
            alpha[:, : width // 2] = 40
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.dstack((pixels, alpha))), format="rgba")
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    return path


def alpha_of(path):
    source = VideoSource(path)
    assert source.alpha, "it has an alpha channel"
    return [pixels[..., 3].astype(float) / np.iinfo(pixels.dtype).max * 255 for _, pixels in source.frames(alpha=True)]


@pytest.fixture(scope="module", params=KINDS)
def given(request, tmp_path_factory):
    return sheer(tmp_path_factory.mktemp("given") / request.param, *KINDS[request.param])


@pytest.mark.parametrize("extension", others_slow(["mov"], ["mov", "mkv", "webm"]))
def test_transparency_is_kept(nearest, tmp_path, given, extension):
    target = tmp_path / f"out.{extension}"
    notes = upscale(nearest, given, target).notes
    assert not any(LOST in note for note in notes), notes
    before, after = alpha_of(given), alpha_of(target)
    assert len(after) == len(before) == 4
    for small, large in zip(before, after, strict=True):
        assert large.shape == (96, 128)
        assert np.abs(large[:, :60] - 40).max() < 3 and np.abs(large[:, 68:] - 255).max() < 3
        assert np.abs(nearest.bicubic(small[..., None].astype(np.uint8))[..., 0] - large).mean() < 3
    colours = [[pixels for _, pixels in VideoSource(path).frames()] for path in (given, target)]
    for small, large in zip(*colours, strict=True):
        error = large[::2, ::2] / np.iinfo(large.dtype).max - small / np.iinfo(small.dtype).max
        assert np.abs(error).mean() < 0.03


@pytest.mark.parametrize(
    ("extension", "options"),
    [("mp4", {}), ("mkv", {"codec": "libx264"}), ("mp4", {"codec": "libvpx-vp9"}), ("mov", {"pix_fmt": "yuv420p"})],
)
def test_what_cannot_hold_it_says_so_and_claims_none(nearest, tmp_path, given, extension, options):
    target = tmp_path / f"out.{extension}"
    notes = upscale(nearest, given, target, **options).notes
    assert sum(LOST in note for note in notes) == 1, notes
    assert not VideoSource(target).alpha


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "extension"),
    [("prores_ks", "yuva444p10le", "mov"), ("qtrle", "argb", "mov"), ("ffv1", "yuva420p", "mkv")],
)
def test_an_opaque_video_never_becomes_one_that_claims_transparency(nearest, tmp_path, codec, pix_fmt, extension):
    source = write(tmp_path / "in.mp4", film(3))
    with pytest.raises(SRError, match=f"--pix-fmt {pix_fmt} holds transparency, which the input doesn't have"):
        upscale(nearest, source, tmp_path / f"out.{extension}", codec=codec, pix_fmt=pix_fmt)
    upscale(nearest, source, tmp_path / f"out.{extension}", codec=codec)
    assert not VideoSource(tmp_path / f"out.{extension}").alpha


def test_an_output_that_would_lose_it_is_found_before_any_work(tmp_path):
    source = VideoSource(sheer(tmp_path / "in.webm", *KINDS["vp9.webm"]))
    arguments = (source.first, (128, 96), source.time_base, source.rate, source.aspect, True)
    encoding, _ = choose_encoding(Options(), "libvpx-vp9", *arguments)
    assert encoding.alpha
    assert try_output(tmp_path / "out.mp4", source, encoding, []).problem == "transparency"
    assert try_output(tmp_path / "out.webm", source, encoding, []).problem == ""


def test_frames_with_transparency_made_into_a_video_say_that_it_was_lost(nearest, tmp_path):
    (tmp_path / "in").mkdir()
    for i, frame in enumerate(film(3)):
        Image.fromarray(np.dstack((frame, frame[..., :1]))).save(tmp_path / "in" / f"{i}.png")
    options = Options(fps=25.0)
    done = upscale_frames(nearest, tmp_path / "in", tmp_path / "out.mp4", options, QUIET)
    assert [LOST in note for note in done.notes] == [True]
