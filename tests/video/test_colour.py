"""Colours are converted by the formulae of the standards, exactly, in both directions and at every depth."""

import av
import numpy as np
import pytest

from sr_experiments.video.colour import Colours, FromRGB, ToRGB

CODES = {"601": 5, "709": 1, "2020": 9}
LUMA = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}  # of red, of blue
# Colour bars of 100 %: Y, Cb, Cr of ITU-R BT.601 in 8 bits and of BT.709 in 10 bits, limited range, as published.
BARS = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]])
PUBLISHED = {
    ("601", 8): [
        *((235, 128, 128), (210, 16, 146), (170, 166, 16), (145, 54, 34)),
        *((106, 202, 222), (81, 90, 240), (41, 240, 110), (16, 128, 128)),
    ],
    ("709", 10): [
        *((940, 512, 512), (877, 64, 553), (754, 615, 64), (691, 167, 105)),
        *((313, 857, 919), (250, 409, 960), (127, 960, 471), (64, 512, 512)),
    ],
}


def levels_of(rgb, bits, full, matrix):
    """Y, Cb, Cr of RGB in [0, 1], by the formulae of BT.601, BT.709 and BT.2020."""
    red, blue = LUMA[matrix]
    y = red * rgb[..., 0] + (1 - red - blue) * rgb[..., 1] + blue * rgb[..., 2]
    cb, cr = (rgb[..., 2] - y) / (2 * (1 - blue)), (rgb[..., 0] - y) / (2 * (1 - red))
    if full:
        top = 2**bits - 1
        levels = [top * y, top * cb + 2 ** (bits - 1), top * cr + 2 ** (bits - 1)]
    else:
        levels = [step * 2 ** (bits - 8) for step in (219 * y + 16, 224 * cb + 128, 224 * cr + 128)]
    return np.stack(levels, -1)


def rgb_of(levels, bits, full, matrix):
    """RGB of Y, Cb, Cr, in which [0, 1] is nominal."""
    red, blue = LUMA[matrix]
    if full:
        y, cb, cr = (levels[..., i] / (2**bits - 1) - (i > 0) * 2 ** (bits - 1) / (2**bits - 1) for i in range(3))
    else:
        y, cb, cr = ((levels[..., i] / 2 ** (bits - 8) - (128 if i else 16)) / (224 if i else 219) for i in range(3))
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], -1)


def frame_of(levels, bits, full, matrix):
    height, width = levels.shape[:2]
    frame = av.VideoFrame(width, height, "yuv444p" if bits == 8 else f"yuv444p{bits}le")
    for i, plane in enumerate(frame.planes):
        row = np.zeros((height, plane.line_size // (1 if bits == 8 else 2)), np.uint8 if bits == 8 else np.uint16)
        row[:, :width] = levels[..., i]
        plane.update(row)
    frame.colorspace, frame.color_range = CODES[matrix], 2 if full else 1
    return frame


def read(frame):
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    planes = [np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]
    return np.stack(planes, -1).astype(int)


each = pytest.mark.parametrize(
    ("bits", "full", "matrix"), [(b, f, m) for b in (8, 10, 12) for f in (False, True) for m in CODES]
)


@each
def test_white_grey_and_black_are_exact_there_and_back(bits, full, matrix):
    white, black = (2**bits - 1, 0) if full else (235 * 2 ** (bits - 8), 16 * 2 ** (bits - 8))
    middle = 2 ** (bits - 1)
    greys = np.arange(black, white + 1)[None].repeat(2, 0)
    frame = frame_of(np.stack([greys, greys * 0 + middle, greys * 0 + middle], -1), bits, full, matrix)
    rgb = ToRGB()(frame)
    assert (rgb[:, -1] == np.iinfo(rgb.dtype).max).all() and (rgb[:, 0] == 0).all()
    assert np.ptp(rgb.astype(int), axis=-1).max() <= 1
    back = read(FromRGB(Colours.of(frame, False), frame.format.name)(rgb))
    np.testing.assert_array_equal(back[..., 1:], middle)
    np.testing.assert_array_equal(back[..., 0], greys)


@each
def test_colours_are_the_standards_to_within_rounding(bits, full, matrix):
    wanted = np.random.default_rng(bits).random((16, 40, 3))
    levels = np.clip(np.rint(levels_of(wanted, bits, full, matrix)), 0, 2**bits - 1)
    frame = frame_of(levels, bits, full, matrix)
    rgb = ToRGB()(frame)
    top = np.iinfo(rgb.dtype).max
    exact = np.clip(rgb_of(levels, bits, full, matrix), 0, 1) * top
    assert np.abs(rgb - exact).max() < 0.55
    given = np.rint(wanted * top).astype(rgb.dtype)
    made = read(FromRGB(Colours.of(frame, False), frame.format.name)(given))
    exact = np.clip(levels_of(given / top, bits, full, matrix), 0, 2**bits - 1)
    assert np.abs(made - exact).max() < 0.55


@pytest.mark.parametrize(("matrix", "bits"), PUBLISHED)
def test_colour_bars_have_their_published_levels(matrix, bits):
    published = np.array(PUBLISHED[matrix, bits])[None]
    frame = frame_of(published, bits, False, matrix)
    given = (BARS[None] * (255 if bits == 8 else 65535)).astype(np.uint8 if bits == 8 else np.uint16)
    np.testing.assert_array_equal(read(FromRGB(Colours.of(frame, False), frame.format.name)(given)), published)
    rgb = ToRGB()(frame)
    assert np.abs(rgb.astype(float) / np.iinfo(rgb.dtype).max - BARS).max() < 1.5 / 2 ** (bits - 1)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p12le", "p010le", "gray10le", "gbrp10le", "gbrp12le"])
@pytest.mark.parametrize("eight", [False, True])
def test_white_is_white_in_every_format(pix_fmt, eight):
    white = np.full((16, 16, 3), 65535, np.uint16)
    blank = av.VideoFrame(16, 16, "yuv420p10le")
    blank.colorspace, blank.color_range = 1, 1
    frame = FromRGB(Colours.of(blank, bool(av.VideoFormat(pix_fmt).is_rgb)), pix_fmt)(white)
    rgb = ToRGB(always_8_bits=eight)(frame)
    assert rgb.dtype == (np.uint8 if eight else np.uint16)
    assert (rgb == np.iinfo(rgb.dtype).max).all()
    assert (ToRGB(eight)(FromRGB(Colours.of(blank, frame.format.is_rgb), pix_fmt)(0 * white)) == 0).all()


def test_deep_colours_are_dithered_to_eight_bits():
    ramp = np.broadcast_to(np.linspace(20000, 24000, 256)[None, :, None], (64, 256, 3)).astype(np.uint16)
    blank = av.VideoFrame(16, 16, "yuv420p10le")
    blank.colorspace, blank.color_range = 1, 1
    luma = read(FromRGB(Colours.of(blank, False), "yuv444p")(np.ascontiguousarray(ramp)))[..., 0]
    exact = 219 * (ramp[0, :, 0] / 65535) + 16
    assert np.abs(luma.reshape(8, 8, 32, 8).mean((1, 3)) - exact.reshape(32, 8).mean(1)).max() < 0.1
    assert np.abs(luma - exact).max() < 1


@pytest.mark.parametrize("given", ["yuva420p", "yuva444p10le", "yuva444p12le", "gbrap", "gbrap12le", "rgba", "argb"])
def test_alpha_is_of_full_range_and_exact(given):
    bits = max(component.bits for component in av.VideoFormat(given).components)
    ramp = np.linspace(0, 255 if bits == 8 else 65535, 64).astype(np.uint8 if bits == 8 else np.uint16)
    pixels = np.full((16, 64, 4), np.iinfo(ramp.dtype).max // 3, ramp.dtype)
    pixels[..., 3] = ramp
    blank = av.VideoFrame(16, 16, "yuv420p")
    frame = FromRGB(Colours.of(blank, bool(av.VideoFormat(given).is_rgb)), given)(pixels)
    assert frame.format.name == given
    back = ToRGB(alpha=True)(frame)
    assert back.shape == (16, 64, 4) and back.dtype == pixels.dtype
    assert np.abs(back[..., 3].astype(int) - ramp).max() <= (0 if bits == 8 else 65535 / 2**bits)
    assert back[0, 0, 3] == 0 and back[0, -1, 3] == np.iinfo(ramp.dtype).max
