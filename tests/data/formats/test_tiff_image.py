"""TIFF of every kind is read alike for training and for upscaling: as its tags say."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from sr_experiments.data.image_files import UnreadableImage, image_header, image_size, read_image
from sr_experiments.inference.images import read_picture, write_picture

UINT8, UINT16, FLOAT = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)
LAYOUTS = [
    {},
    {"planarconfig": "separate"},
    {"tile": (16, 16)},
    {"planarconfig": "separate", "tile": (16, 16)},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 5},
    {"compression": "lzw", "planarconfig": "separate", "byteorder": ">"},
    {"compression": "packbits"},
    {"compression": "zstd"},
]


def colours(kind: np.dtype, channels: int = 3) -> np.ndarray:
    """A picture (20, 28, C) whose values are exact in 8 bits."""
    image = np.random.default_rng(0).integers(0, 256, (20, 28, channels), np.uint8)
    return scaled(image, kind)


def scaled(image: np.ndarray, kind: np.dtype) -> np.ndarray:
    if kind == FLOAT:
        return (image / 255).astype(np.float32)
    return image.astype(kind) * (257 if kind == UINT16 else 1)


def assert_read(path: Path, expected: np.ndarray, depth: np.dtype, alpha: np.ndarray | None = None) -> None:
    """Both readers give the 8-bit picture `expected`, (H, W, C); the one for upscaling in its depth."""
    picture = read_picture(path)
    assert picture.pixels.dtype == depth
    np.testing.assert_array_equal(picture.pixels, scaled(expected, depth))
    if alpha is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, scaled(alpha, depth))
    np.testing.assert_array_equal(read_image(path), np.broadcast_to(expected, (*expected.shape[:2], 3)))
    assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kind", [UINT8, UINT16, FLOAT], ids=str)
def test_layouts_are_one_picture(tmp_path, kind, layout):
    layout = {**layout, "predictor": 3} if kind == FLOAT and "predictor" in layout else layout
    tifffile.imwrite(tmp_path / "in.tif", planes(colours(kind), layout), photometric="rgb", **layout)
    assert_read(tmp_path / "in.tif", colours(UINT8), UINT8 if kind == UINT8 else UINT16)


def planes(image: np.ndarray, layout: dict) -> np.ndarray:
    return np.moveaxis(image, 2, 0) if layout.get("planarconfig") == "separate" else image


@pytest.mark.parametrize("kind", [UINT8, UINT16, FLOAT], ids=str)
def test_white_may_be_zero(tmp_path, kind):
    white = 1 if kind == FLOAT else np.iinfo(kind).max
    tifffile.imwrite(tmp_path / "in.tif", white - colours(kind, 1)[..., 0], photometric="miniswhite")
    assert_read(tmp_path / "in.tif", colours(UINT8, 1), UINT8 if kind == UINT8 else UINT16)


@pytest.mark.parametrize("layout", [{}, {"planarconfig": "separate"}], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [UINT8, UINT16, FLOAT], ids=str)
def test_colours_multiplied_by_alpha_are_divided_by_it(tmp_path, kind, channels, layout):
    depth = UINT8 if kind == UINT8 else UINT16
    full = 1 if kind == FLOAT else np.iinfo(kind).max
    alpha = np.full((20, 28, 1), 255, np.uint8)
    alpha[:10], alpha[:10, :5] = 51, 0
    plain = colours(UINT8, channels) // 5 * 5  # divisible by what a fifth of it is
    share = scaled(alpha, kind).astype(np.float64) / full
    stored = scaled(plain, kind) * share
    stored = np.concatenate((stored if kind == FLOAT else stored.round(), scaled(alpha, kind)), 2).astype(kind)
    photometric = "minisblack" if channels == 1 else "rgb"
    tifffile.imwrite(
        tmp_path / "in.tif", planes(stored, layout), photometric=photometric, extrasamples=["assocalpha"],
        planarconfig=layout.get("planarconfig", "contig"),
    )  # fmt: skip
    expected = plain.copy()
    expected[:10, :5] = 0
    if kind == FLOAT:  # the division isn't exact
        picture = read_picture(tmp_path / "in.tif")
        assert np.abs(picture.pixels.astype(int) - scaled(expected, depth)).max() <= 1
        np.testing.assert_array_equal(picture.alpha, scaled(alpha, depth))
    else:
        assert_read(tmp_path / "in.tif", expected, depth, alpha)


def test_alpha_without_a_tag_is_alpha_and_other_channels_are_named(tmp_path):
    image = colours(UINT16, 4)
    tifffile.imwrite(tmp_path / "alpha.tif", image, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "other.tif", image, photometric="rgb", extrasamples=["unspecified"])
    assert_read(tmp_path / "alpha.tif", colours(UINT8, 4)[..., :3], UINT16, colours(UINT8, 4)[..., 3:])
    assert_read(tmp_path / "other.tif", colours(UINT8, 4)[..., :3], UINT16)
    assert read_picture(tmp_path / "other.tif").lost == ("1 further channel",)
    with tifffile.TiffFile(tmp_path / "alpha.tif", mode="r+") as file:
        tag = file.pages[0].tags["ExtraSamples"]
        file.filehandle.seek(tag.offset)
        file.filehandle.write(b"\x00\xff")  # a private tag in its place
    assert_read(tmp_path / "alpha.tif", colours(UINT8, 4)[..., :3], UINT16, colours(UINT8, 4)[..., 3:])


@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_three_samples_without_a_meaning_are_RGB(tmp_path, layout):  # as GDAL writes them, but of 8 bits
    image = colours(UINT16) if layout == "contig" else np.moveaxis(colours(UINT16), 2, 0)
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="minisblack", planarconfig=layout)
    assert_read(tmp_path / "in.tif", colours(UINT8), UINT16)
    assert image_header(tmp_path / "in.tif").channels == 3
    if layout == "contig":
        kinds, image = ["unspecified", "unspecified", "unassalpha"], colours(UINT16, 4)
        tifffile.imwrite(tmp_path / "in.tif", image, photometric="minisblack", extrasamples=kinds, planarconfig=layout)
        assert_read(tmp_path / "in.tif", colours(UINT8, 4)[..., :3], UINT16, colours(UINT8, 4)[..., 3:])


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_depths_are_scaled_by_their_own_maximum(tmp_path, bits):
    maximum = 2**bits - 1
    values = np.linspace(0, maximum, 20 * 28).round().astype(np.uint8 if bits <= 8 else np.uint16).reshape(20, 28)
    tifffile.imwrite(tmp_path / "in.tif", values, bitspersample=bits, photometric="minisblack")
    pixels = read_picture(tmp_path / "in.tif").pixels[..., 0]
    full = 255 if bits <= 8 else 65535
    assert pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    np.testing.assert_array_equal(pixels, (values.astype(float) * full / maximum + 0.5).astype(pixels.dtype))
    shown = read_image(tmp_path / "in.tif", channels=1)[..., 0]
    assert np.abs(shown - values.astype(float) * 255 / maximum).max() < 0.51


def test_palettes_are_looked_up(tmp_path):
    palette = np.random.default_rng(1).integers(0, 256, (3, 256), np.uint8)
    indices = np.random.default_rng(2).integers(0, 256, (20, 28), np.uint8)
    tifffile.imwrite(tmp_path / "in.tif", indices, photometric="palette", colormap=palette.astype(np.uint16) * 257)
    assert_read(tmp_path / "in.tif", palette.T[indices], UINT8)


@pytest.mark.parametrize("kind", [UINT8, UINT16], ids=str)
@pytest.mark.parametrize("layout", [{}, {"planarconfig": "separate"}], ids=str)
def test_cmyk_becomes_rgb(tmp_path, kind, layout):
    rgb = colours(UINT8)
    cmyk = np.concatenate((255 - rgb, np.zeros_like(rgb[..., :1])), 2)
    tifffile.imwrite(tmp_path / "in.tif", planes(scaled(cmyk, kind), layout), photometric="separated", **layout)
    assert_read(tmp_path / "in.tif", rgb, UINT8)
    assert bool(read_picture(tmp_path / "in.tif").lost) == (kind == UINT16)


def test_jpeg_and_fax_inside_tiff(tmp_path):
    smooth = Image.fromarray(colours(UINT8)).resize((64, 48), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "jpeg.tif", compression="jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "jpeg.tif").astype(int) - np.array(smooth)).mean() < 6
    fax = smooth.convert("1")
    fax.save(tmp_path / "fax.tif", compression="group4")
    np.testing.assert_array_equal(read_image(tmp_path / "fax.tif", channels=1)[..., 0], np.array(fax.convert("L")))


@pytest.mark.parametrize("orientation", [1, 6])
def test_ycbcr_and_lab_become_rgb(tmp_path, orientation):
    smooth = Image.fromarray(colours(UINT8)).resize((64, 48), Image.Resampling.BICUBIC)
    tags = Image.Exif()
    tags[274] = orientation
    for mode in ("YCbCr", "LAB"):
        smooth.save(tmp_path / "rgb.png", exif=tags)
        image = smooth.convert(mode) if mode == "YCbCr" else lab(smooth)
        image.save(tmp_path / "in.tif", tiffinfo={274: orientation}, compression="tiff_lzw")
        read, expected = read_image(tmp_path / "in.tif"), read_image(tmp_path / "rgb.png")
        assert np.abs(read.astype(int) - expected).mean() < 3
        np.testing.assert_array_equal(read_picture(tmp_path / "in.tif").pixels, read)
        assert image_size(tmp_path / "in.tif") == read.shape[:2]


def lab(image: Image.Image) -> Image.Image:
    srgb, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, srgb, target, outputMode="LAB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", [{}, {"planarconfig": "separate"}, {"tile": (16, 16)}], ids=str)
def test_deep_pictures_are_turned_upright(tmp_path, orientation, layout):
    deep, plain = tmp_path / "deep.tif", tmp_path / "plain.png"
    tags = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(deep, planes(colours(UINT16), layout), photometric="rgb", extratags=tags, **layout)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(colours(UINT8)).save(plain, exif=exif)
    assert_read(deep, read_image(plain), UINT16)


def test_previews_and_masks_are_no_pictures(tmp_path):
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        file.write(colours(UINT8)[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(colours(UINT8), photometric="rgb")
        file.write(colours(UINT8, 1)[..., 0] > 99, photometric="minisblack", subfiletype=4)
    assert_read(tmp_path / "in.tif", colours(UINT8), UINT8)


def test_equal_pages_are_refused_for_upscaling(tmp_path):
    tifffile.imwrite(tmp_path / "in.tif", np.stack([colours(UINT8)] * 3), photometric="rgb")
    with pytest.raises(UnreadableImage, match="it has 3 pictures; make it a video"):
        read_picture(tmp_path / "in.tif")


@pytest.mark.parametrize(
    "content, options, said",
    [
        (np.zeros((8, 8), np.int8), {}, "signed integers have no defined range"),
        (np.zeros((8, 8), np.uint32), {}, "32 bits per channel have no defined range"),
        (np.zeros((8, 8), np.complex64), {}, "complex numbers"),
        (
            np.zeros((8, 8, 3), np.uint16),
            {"photometric": "cielab"},
            "CIELAB is supported with three channels of 8 bits",
        ),
        (np.zeros((8, 8, 3), np.uint8), {"photometric": "icclab"}, "its colours are of TIFF's kind ICCLAB"),
        (np.zeros((8, 8), np.uint16), {"photometric": "cfa"}, "its colours are of TIFF's kind CFA"),
        (np.zeros((5, 8, 8), np.uint8), {"photometric": "minisblack", "planarconfig": "separate"}, "has 5 [bc]"),
    ],
)
def test_what_has_no_known_meaning_is_named_in_one_line(tmp_path, content, options, said):
    tifffile.imwrite(tmp_path / "in.tif", content, **options)
    for read in (read_image, read_picture):
        with pytest.raises(UnreadableImage, match=said) as caught:
            read(tmp_path / "in.tif")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_pixels_that_are_not_there_are_missed(tmp_path, layout):
    content = io.BytesIO()
    tifffile.imwrite(content, colours(UINT16), photometric="rgb", **layout)
    (tmp_path / "in.tif").write_bytes(content.getvalue()[:-700])
    for read in (read_image, read_picture):
        with pytest.raises(UnreadableImage, match=r"in\.tif"):
            read(tmp_path / "in.tif")


DESCRIPTIONS = [
    ({}, ()),  # tifffile writes the shape of the array
    ({"imagej": True}, ("ImageJ's description",)),
    ({"ome": True}, ("OME-XML",)),
]


@pytest.mark.parametrize(("options", "lost"), DESCRIPTIONS, ids=["tifffile", "ImageJ", "OME"])
def test_descriptions_of_the_layout_are_not_those_of_another_size(tmp_path, options, lost):
    tifffile.imwrite(tmp_path / "in.tif", colours(UINT8), photometric="rgb", **options)
    picture = read_picture(tmp_path / "in.tif")
    assert picture.lost == lost
    larger = replace(picture, pixels=picture.pixels.repeat(2, 0).repeat(2, 1))
    assert not write_picture(tmp_path / "out.tif", larger)
    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        assert not (tiff.is_shaped or tiff.is_imagej or tiff.is_ome)
        np.testing.assert_array_equal(tiff.asarray(), larger.pixels)
