"""Image files: whatever belongs to an image is there again in its enlarged file."""

import functools
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from sr_experiments.data.formats.png import with_chunks
from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.errors import SRError
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.images import Picture, read_picture, upscale_picture, write_picture
from sr_experiments.inference.sizes import Enlarger

LOSSLESS = [".png", ".bmp", ".tif"]


class Doubling(Generator):
    """Every pixel four times."""

    def __init__(self):
        super().__init__(scale=2, channels=3)

    def forward(self, lr):
        return lr.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.fixture(scope="module")
def engine():
    return Enlarger(Engine(Doubling(), "cpu", "fp32"))


def pixels(*shape, kind=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def doubled(image):
    return image.repeat(2, 0).repeat(2, 1)


@functools.cache  # it holds the time of its making
def profile(space="sRGB"):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112], tags[0x010E] = orientation, "a described picture"
    return tags.tobytes()


def deep_png(path, image):
    """16-bit PNG of 1 to 4 channels, written by hand: grey, grey and alpha, RGB, RGB and alpha."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = image.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize("extension", LOSSLESS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_8_bit_images_keep_their_mode_and_every_pixel(tmp_path, engine, extension, mode):
    image = pixels(7, 9, 3) if mode == "RGB" else pixels(7, 9)
    Image.fromarray(image).save(tmp_path / f"in{extension}")
    large = upscale_picture(engine, read_picture(tmp_path / f"in{extension}"))
    write_picture(tmp_path / f"out{extension}", large)
    with Image.open(tmp_path / f"out{extension}") as result:
        assert result.mode == mode and result.size == (18, 14)
        np.testing.assert_array_equal(np.array(result), doubled(image))


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
@pytest.mark.parametrize("shape", [(16, 24, 3), (16, 24)])
def test_lossy_formats_come_near(tmp_path, engine, extension, shape):
    smooth = np.full(shape, 90, np.uint8)
    smooth[4:12] = 150
    Image.fromarray(smooth).save(tmp_path / f"in{extension}", quality=95)
    write_picture(tmp_path / f"out{extension}", upscale_picture(engine, read_picture(tmp_path / f"in{extension}")), 95)
    with Image.open(tmp_path / f"out{extension}") as result:
        assert result.size == (48, 32)
        values = np.array(result.convert("RGB" if smooth.ndim == 3 else "L")).astype(int)
    assert np.abs(values - doubled(smooth)).mean() < 4


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_images_keep_all_their_bits(tmp_path, engine, extension, channels):
    image = pixels(7, 9, channels, kind=np.uint16)
    if extension == ".png":
        deep_png(tmp_path / "in.png", image)
    else:
        content = image[..., 0] if channels == 1 else image
        extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        tifffile.imwrite(tmp_path / "in.tif", content, photometric="minisblack" if channels == 1 else "rgb", **extra)
    picture = read_picture(tmp_path / f"in{extension}")
    np.testing.assert_array_equal(picture.pixels, image[..., :3])
    write_picture(tmp_path / f"out{extension}", upscale_picture(engine, picture))
    result = cv2.imread(str(tmp_path / f"out{extension}"), cv2.IMREAD_UNCHANGED)
    assert result.dtype == np.uint16 and result.shape[:2] == (14, 18)
    colours = result[..., None] if channels == 1 else result[..., 2::-1]
    np.testing.assert_array_equal(colours, doubled(image[..., :3]))
    if channels == 4:
        np.testing.assert_array_equal(result[..., 3], engine.bicubic(image[..., 3:])[..., 0])


def test_16_bit_grey_with_alpha_keeps_both(tmp_path):
    image = pixels(5, 6, 2, kind=np.uint16)
    deep_png(tmp_path / "in.png", image)
    picture = read_picture(tmp_path / "in.png")
    np.testing.assert_array_equal(picture.pixels, image[..., :1])
    np.testing.assert_array_equal(picture.alpha, image[..., 1:])
    write_picture(tmp_path / "out.png", picture)
    again = read_picture(tmp_path / "out.png")
    np.testing.assert_array_equal(again.pixels, picture.pixels)
    np.testing.assert_array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("extension", [".png", ".webp", ".tif"])
def test_alpha_is_enlarged_beside_the_colours(tmp_path, engine, extension):
    image = pixels(8, 8, 4)
    image[..., 3] = 0
    image[2:6, 2:6, 3] = 255
    lossless = {"lossless": True, "exact": True} if extension == ".webp" else {}
    Image.fromarray(image).save(tmp_path / f"in{extension}", **lossless)
    large = upscale_picture(engine, read_picture(tmp_path / f"in{extension}"))
    np.testing.assert_array_equal(large.pixels, doubled(image[..., :3]))
    write_picture(tmp_path / f"out{extension}", large)
    with Image.open(tmp_path / f"out{extension}") as result:
        alpha = np.array(result)[..., 3]
    assert result.mode == "RGBA"
    assert alpha[6:10, 6:10].min() >= 253 and alpha[:2].max() <= 2 and alpha[-2:].max() <= 2


@pytest.mark.parametrize("transparent", [False, True])
def test_palettes_become_their_colours(tmp_path, transparent):
    palette = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(tmp_path / "in.png", **({"transparency": 1} if transparent else {}))
    picture = read_picture(tmp_path / "in.png")
    red, green, blue = np.eye(3, dtype=np.uint8) * 255
    np.testing.assert_array_equal(picture.pixels, [[red, green], [green, blue]])
    if transparent:
        np.testing.assert_array_equal(picture.alpha[..., 0], [[255, 0], [0, 255]])
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_found_at_every_depth(tmp_path, bits):
    values = [0, 1, 2**bits - 1]  # of which 1 is transparent
    row = sum(value << (48 - bits * (i + 1)) for i, value in enumerate(values)).to_bytes(6, "big")
    header = struct.pack(">IIBBBBB", 3, 1, bits, 0, 0, 0, 0)
    parts = {b"IHDR": header, b"tRNS": struct.pack(">H", 1), b"IDAT": zlib.compress(b"\0" + row[: -(-3 * bits // 8)])}
    chunks = [(name.decode(), content) for name, content in (*parts.items(), (b"IEND", b""))]
    (tmp_path / "in.png").write_bytes(with_chunks(b"\x89PNG\r\n\x1a\n", chunks))
    picture = read_picture(tmp_path / "in.png")
    full = 65535 if bits == 16 else 255
    assert picture.pixels[0, :, 0].tolist() == [value * full // (2**bits - 1) for value in values]
    assert picture.alpha[0, :, 0].tolist() == [full, 0, 0 if bits == 1 else full]


def test_colours_that_happen_to_be_grey_stay_colours(tmp_path):
    deep_png(tmp_path / "in.png", np.full((4, 4, 3), 999, np.uint16))
    assert read_picture(tmp_path / "in.png").pixels.shape == (4, 4, 3)


def test_black_and_white_becomes_grey(tmp_path):
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1").save(tmp_path / "in.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "in.png").pixels[..., 0], [[0, 255], [255, 0]])


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif", "16.png", "16.tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_picture_is_shown_the_same_way_round_with_its_colour_profile(tmp_path, engine, extension, orientation):
    source, target = tmp_path / f"in{extension}", tmp_path / f"out{extension}"
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = (200, 100, 50)  # in the corner that is stored first
    if extension == "16.png":
        cv2.imwrite(str(source), stored[..., ::-1].astype(np.uint16) * 257)
        chunks = [
            ("iCCP", b"profile\0\0" + zlib.compress(profile())),
            ("eXIf", exif(orientation).removeprefix(b"Exif\0\0")),
        ]
        source.write_bytes(with_chunks(source.read_bytes(), chunks))
    elif extension == "16.tif":
        tags = [(274, 3, 1, orientation, True)]
        deep = stored.astype(np.uint16) * 257
        tifffile.imwrite(source, deep, photometric="rgb", iccprofile=profile(), extratags=tags, metadata=None)
    else:
        Image.fromarray(stored).save(source, exif=exif(orientation), icc_profile=profile(), quality=95)
    write_picture(target, upscale_picture(engine, read_picture(source)))
    shown, expected = read_image(target), read_image(source)
    assert shown.shape == ((32, 64, 3) if orientation < 5 else (64, 32, 3))
    assert np.abs(shown.astype(int) - doubled(expected)).mean() < 2
    with Image.open(target) as result:
        assert result.info["icc_profile"] == profile()
        if not extension.startswith("16"):
            assert result.getexif()[0x010E] == "a described picture"


def test_cmyk_becomes_rgb_and_loses_its_profile(tmp_path):
    Image.new("CMYK", (4, 4), (255, 0, 0, 0)).save(tmp_path / "in.jpg", quality=100)
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.icc is None
    np.testing.assert_allclose(picture.pixels[0, 0], [0, 255, 255], atol=3)


def test_what_a_format_cannot_hold_is_said(tmp_path):
    deep = Picture(pixels(4, 4, 3, kind=np.uint16), pixels(4, 4, 1, kind=np.uint16))
    assert write_picture(tmp_path / "out.jpg", deep) == "16 bits per channel and transparency"
    assert write_picture(tmp_path / "out.png", deep) == ""


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("absent.png", None, "does not exist"),
        ("text.png", b"no image at all", "not an image"),
        ("cut.png", "cut", "can't read image"),
        ("deep.png", "deep cut", "can't read image"),
        ("moving.png", "animated", "it has 2 pictures; make it a video"),
        ("float.tif", "float", "from 0 to 2, and only 0"),
    ],
)
def test_unreadable_images_are_named(tmp_path, name, content, said):
    path = tmp_path / name
    if content == "cut":
        Image.fromarray(pixels(50, 50, 3)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif content == "deep cut":
        deep_png(path, pixels(50, 50, 3, kind=np.uint16))
        path.write_bytes(path.read_bytes()[:2000])
    elif content == "animated":
        Image.new("RGB", (4, 4)).save(path, save_all=True, append_images=[Image.new("RGB", (4, 4), "red")])
    elif content == "float":
        tifffile.imwrite(path, np.linspace(0, 2, 16, dtype=np.float32).reshape(4, 4))
    elif content:
        path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=said) as error:
        read_picture(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_an_unwritable_size_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(SRError, match=r"can't write .*wide.webp, 20000x1") as error:
        write_picture(tmp_path / "wide.webp", Picture(np.zeros((1, 20000, 3), np.uint8)))
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_an_unknown_extension_is_refused(tmp_path):
    with pytest.raises(SRError, match=r"choose an extension of .png"):
        write_picture(tmp_path / "out.gif", Picture(pixels(2, 2, 3)))


def test_a_generator_on_its_corner_keeps_alpha_there():
    engine = Engine(Doubling(), "cpu", "fp32")
    engine.phase = "corner"
    alpha = torch.arange(0, 250, 10, dtype=torch.uint8).view(5, 5, 1).numpy()
    np.testing.assert_array_equal(engine.bicubic(alpha)[::2, ::2], alpha)
