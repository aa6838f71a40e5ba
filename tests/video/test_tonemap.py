"""HDR to SDR: the curves against colour-science 0.4.7 and SciPy's splines, and what `--tonemap` writes."""

import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import CubicHermiteSpline

from sr_experiments.data.formats import png
from sr_experiments.data.formats.metadata import Metadata
from sr_experiments.inference.images import Picture, read_picture, write_picture
from sr_experiments.video.hdr import HDRMetadata
from sr_experiments.video.tonemap import HLG, PQ, WHITE, ToneMap, eetf, hlg, pq, pq_inverse, to_bt709
from tests.inference.films import film, rgb, write
from tests.inference.test_video_hdr import HLG as HLG_TAGS
from tests.inference.test_video_hdr import X265, first_frame, hdr

NUMBERS = np.array([0, 0.1, 0.25, 0.5, 0.58068888, 0.75, 0.9, 1.0])
LIGHT = [0, 3.24565591e-01, 5.15417601, 92.2457090, 202.999998, 983.377856, 3905.64465, 10000]  # eotf_ST2084
HLG_RGB = np.array([[0.75, 0.75, 0.75], [0.5, 0.25, 0.1], [1, 0.9, 0.2], [0.1, 0.5, 0.9]])
HLG_LIGHT = [  # eotf_BT2100_HLG at 1000 cd/m^2
    [203.15214594, 203.15214594, 203.15214594], [42.91359052, 10.72839763, 1.71654362],
    [919.69133817, 535.11097822, 12.26255085], [2.06786248, 51.69656196, 360.94803684],
]  # fmt: skip
FROM_2020 = [[1.660491, -0.58764114, -0.07284986], [-0.12455047, 1.1328999, -0.00834942],
             [-0.01815076, -0.1005789, 1.11872966]]  # fmt: skip
FROM_P3 = [[1.22494018, -0.224940176, 0], [-0.0420569547, 1.04205695, 0], [-0.0196375546, -0.0786360456, 1.09827360]]


def test_transfer_functions_and_primaries_are_those_of_the_standards():
    np.testing.assert_allclose(pq(NUMBERS), LIGHT, rtol=1e-5)
    np.testing.assert_allclose(pq_inverse(np.array(LIGHT)), NUMBERS, atol=1e-6)
    scene = hlg(HLG_RGB)
    light = 1000 * scene * (scene @ [0.2627, 0.6780, 0.0593])[:, None] ** 0.2
    np.testing.assert_allclose(light, HLG_LIGHT, rtol=1e-6)
    np.testing.assert_allclose(to_bt709(9), FROM_2020, atol=1e-4)
    np.testing.assert_allclose(to_bt709(12), FROM_P3, atol=1e-4)


@pytest.mark.parametrize("peak", [400.0, 1000.0, 4000.0])
def test_the_curve_is_a_line_to_the_knee_and_then_a_hermite_spline(peak):
    top, most = pq_inverse(np.float64(peak)), pq_inverse(np.float64(WHITE)) / pq_inverse(np.float64(peak))
    knee = 1.5 * most - 0.5
    spline = CubicHermiteSpline([knee, 1], [knee, most], [1, 0])
    given = np.linspace(0, 1, 101)
    expected = np.where(given < knee, given, spline(given))
    np.testing.assert_allclose(pq_inverse(eetf(pq(given * top), peak)), expected * top, atol=1e-6)
    assert eetf(np.array(peak), peak) == pytest.approx(WHITE, rel=1e-6)


def test_pixels_become_those_of_sdr():
    levels = np.round(np.array([[[0, 0, 0], [0.508078422] * 3, [0.2, 0.4, 0.3], [0.751827096] * 3]]) * 65535)
    made = ToneMap(PQ)(levels.astype(np.uint16)) / 65535
    light = np.array([[[0] * 3, [100] * 3, pq(np.array([0.2, 0.4, 0.3])), [1000] * 3]], float)
    brightest = light.max(2, keepdims=True)
    mapped = light * eetf(brightest, 1000) / np.maximum(brightest, 1e-9)
    expected = np.clip(mapped @ np.array(FROM_2020).T / WHITE, 0, 1) ** (1 / 2.4)
    np.testing.assert_allclose(made, expected, atol=2e-3)
    assert made[0, 3].min() > 0.9999 and made[0, 0].max() == 0
    assert np.ptp(ToneMap(HLG)(np.full((1, 1, 3), 192, np.uint8))) == 0


@pytest.mark.parametrize(("tags", "options"), [(None, X265), (HLG_TAGS, {"x265-params": "log-level=error"})])
def test_a_video_becomes_sdr_with_its_tags(sr, weights, tmp_path, tags, options):
    source = hdr(tmp_path / "in.mp4", options=options, **({"tags": tags} if tags else {}))
    arguments = ("-c", weights("msrresnet", 2), "--strength", "0", "--device", "cpu", "--codec", "ffv1")
    done = sr("upscale", source, "-o", tmp_path / "out.mkv", "--tonemap", *arguments)
    assert done.code == 0 and "HDR" not in done.err, done.err
    frame = first_frame(tmp_path / "out.mkv")
    assert [int(getattr(frame, name)) for name in ("colorspace", "color_primaries", "color_trc", "color_range")] == [
        1, 1, 1, 1
    ]  # fmt: skip
    assert frame.format.name == "yuv420p10le" and HDRMetadata.of(frame) == HDRMetadata()
    assert sr("upscale", source, "-o", tmp_path / "hdr.mkv", *arguments).code == 0
    expected = ToneMap.of(first_frame(source))(rgb(tmp_path / "hdr.mkv")[0])
    error = np.abs(rgb(tmp_path / "out.mkv")[0].astype(int) - expected)
    assert np.median(error) < 0.01 * 65535


def test_an_image_becomes_srgb_and_what_is_sdr_stays(sr, weights, tmp_path):
    pixels = np.full((16, 16, 3), round(0.508078422 * 65535), np.uint16)
    light = Metadata(chunks=(("cICP", bytes((9, 16, 0, 1))), ("cLLI", (4_000_000).to_bytes(4, "big") + bytes(4))))
    write_picture(tmp_path / "hdr.png", Picture(pixels, metadata=light))
    Image.fromarray(film(1)[0]).save(tmp_path / "sdr.png")
    arguments = ("-c", weights("msrresnet", 2), "--strength", "0", "--device", "cpu")
    for name in ("hdr.png", "sdr.png"):
        done = sr("upscale", tmp_path / name, "-o", tmp_path / f"out_{name}", "--tonemap", *arguments)
        assert done.code == 0 and ("no HDR image: --tonemap changed nothing" in done.err) == (name == "sdr.png")
        assert sr("upscale", tmp_path / name, "-o", tmp_path / f"plain_{name}", *arguments).code == 0
    made = read_picture(tmp_path / "out_hdr.png")
    linear = eetf(np.array(100.0), 400) / WHITE
    assert made.pixels.dtype == np.uint16 and not made.metadata.of_kind(*png.COLOURS)
    assert made.pixels[8, 8, 0] / 65535 == pytest.approx(1.055 * linear ** (1 / 2.4) - 0.055, abs=1e-3)
    assert read_picture(tmp_path / "plain_hdr.png").metadata.of_kind("cICP", "cLLI") == light.chunks
    assert (tmp_path / "out_sdr.png").read_bytes() == (tmp_path / "plain_sdr.png").read_bytes()


def test_a_video_that_is_no_hdr_is_named(sr, weights, tmp_path):
    source = write(tmp_path / "in.mp4", film(2))
    done = sr("upscale", source, "-o", tmp_path / "out.mp4", "--tonemap", "-c", weights(), "--device", "cpu")
    assert done.code == 0 and "in.mp4 is no HDR video: --tonemap changed nothing" in done.err
