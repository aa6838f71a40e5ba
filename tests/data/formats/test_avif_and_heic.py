"""AVIF and HEIC files: read and written with all their bits, transparency, colours and metadata."""

import io
import re
import subprocess
import sys

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from sr_experiments.data.formats.metadata import Metadata
from sr_experiments.data.image_files import UnreadableImage, image_size, list_images, read_image
from sr_experiments.inference.images import Picture, read_picture, write_picture
from tests.conftest import ROOT

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PQ = bytes((9, 16, 0, 1))  # BT.2020, PQ: content of PNG's cICP
BOTH = (".avif", ".heic")


def levels(bits, channels=3, height=32, width=48):
    values = np.linspace(0, 2**bits - 1, height * width).round().astype(np.uint16).reshape(height, width, 1)
    image = np.concatenate((values, values[::-1], values[:, ::-1], values), 2)[..., :channels]
    return image.astype(np.uint8) if bits == 8 else image


def exif(orientation=1):
    tags = Image.Exif()
    tags[0x010E], tags[0x0112] = "a harbour", orientation
    return tags.tobytes()


def as_16(values, bits):
    return np.rint(values.astype(float) * (65535 / (2**bits - 1))).astype(np.uint16)


def heic(path, image, bits=8, **options):
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[image.shape[2]] + (";16" if bits > 8 else "")
    shifted = image << (16 - bits) if bits > 8 else image
    file = pillow_heif.from_bytes(mode, image.shape[1::-1], np.ascontiguousarray(shifted).tobytes())
    file.save(path, quality=-1, chroma=444, bit_depth=bits, **{"matrix_coefficients": 0, **options})


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_all_levels_are_read_from_black_to_white(tmp_path, bits, channels):
    given = levels(bits, channels)
    squeezed = given[..., 0] if channels == 1 else given
    (tmp_path / "in.avif").write_bytes(imagecodecs.avif_encode(squeezed, level=100, bitspersample=bits))
    heic(tmp_path / "in.heic", given, bits)
    expected = given if bits == 8 else as_16(given, bits)
    for suffix in BOTH:
        picture = read_picture(tmp_path / f"in{suffix}")
        got = picture.pixels if picture.alpha is None else np.dstack((picture.pixels, picture.alpha))
        np.testing.assert_array_equal(got, expected, suffix)
        assert picture.pixels.flags.writeable  # PyTorch warns about others
        assert read_image(tmp_path / f"in{suffix}").shape == (32, 48, 3)


@pytest.mark.parametrize("suffix", BOTH)
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_what_a_picture_is_and_says_is_written(tmp_path, suffix, bits):
    image = levels(min(bits, 12), 4)
    pixels = image if bits == 8 else as_16(image, min(bits, 12))
    metadata = Metadata(exif=exif().removeprefix(b"Exif\0\0"), xmp=b"<x:xmpmeta/>")
    picture = Picture(pixels[..., :3], pixels[..., 3:], PROFILE, metadata, bits=bits if 8 < bits < 16 else None)
    lost = write_picture(tmp_path / f"out{suffix}", picture, 100)
    assert lost == ("more than 12 bits per channel" if bits == 16 else "")
    if suffix == ".avif":
        with Image.open(tmp_path / "out.avif") as file:
            file.load()
            info, tags = file.info, file.getexif()
        made = imagecodecs.avif_decode((tmp_path / "out.avif").read_bytes())
        np.testing.assert_array_equal(made, image)  # lossless
    else:
        (file,) = pillow_heif.open_heif(tmp_path / "out.heic", convert_hdr_to_8bit=False)
        info, tags = file.info, Image.Exif()
        tags.load(info["exif"])
        assert info["bit_depth"] == min(bits, 12)
        made = np.asarray(file) >> (0 if bits == 8 else 16 - min(bits, 12))
        assert np.abs(made.astype(int) - image).max() <= 2 ** (min(bits, 12) - 6)
    assert made.shape == image.shape and info["icc_profile"] == PROFILE and info["xmp"] == b"<x:xmpmeta/>"
    assert tags[0x010E] == "a harbour"


def test_pictures_are_turned_upright(tmp_path):
    upright = levels(8)
    turned = Image.fromarray(np.rot90(upright).copy())  # 6: rotate by 90 degrees clockwise to show it
    turned.save(tmp_path / "in.avif", exif=exif(6), quality=100, subsampling="4:4:4")
    pillow_heif.from_pillow(turned).save(tmp_path / "in.heic", exif=exif(6), quality=-1, chroma=444)
    for suffix in BOTH:
        path = tmp_path / f"in{suffix}"
        assert image_size(path) == (32, 48)
        picture = read_picture(path)
        assert np.abs(picture.pixels.astype(int) - upright).max() <= 3
        write_picture(tmp_path / "out.png", picture)
        with Image.open(tmp_path / "out.png") as made:
            assert made.size == (48, 32) and made.getexif().get(0x0112, 1) == 1 and made.getexif()[0x010E]


@pytest.mark.parametrize("suffix", BOTH)
def test_colours_of_hdr_pictures_are_kept_or_named(tmp_path, suffix):
    path = tmp_path / f"in{suffix}"
    if suffix == ".avif":
        content = imagecodecs.avif_encode(levels(10), level=90, bitspersample=10)
        path.write_bytes(re.sub(rb"(?s)(?<=colrnclx)....", bytes((0, 9, 0, 16)), content))
    else:
        heic(path, levels(10), 10, color_primaries=9, transfer_characteristics=16, matrix_coefficients=9)
    picture = read_picture(path)
    for target in (".png", *BOTH):
        assert write_picture(tmp_path / f"out{target}", picture) == ""
        assert dict(read_picture(tmp_path / f"out{target}").metadata.chunks)["cICP"] == PQ
    assert "colours as of cICP" in write_picture(tmp_path / "out.jpg", picture)


@pytest.mark.parametrize("suffix", BOTH)
def test_damaged_and_enormous_files_are_refused_in_one_line(tmp_path, suffix):
    write_picture(tmp_path / f"whole{suffix}", Picture(levels(8)))
    whole, path = (tmp_path / f"whole{suffix}").read_bytes(), tmp_path / f"in{suffix}"
    enormous = whole.replace((48).to_bytes(4, "big") + (32).to_bytes(4, "big"), (60_000).to_bytes(4, "big") * 2)
    enormous = enormous.replace((64).to_bytes(4, "big") * 2, (60_000).to_bytes(4, "big") * 2)  # libheif's is padded
    assert enormous != whole
    for content in (whole[:20], whole[:100], whole[: len(whole) // 2], whole[:-5], enormous):
        path.write_bytes(content)
        for read in (read_image, read_picture):
            with pytest.raises(UnreadableImage, match=f"can't read image .*in{suffix}: .*; replace or remove the file"):
                read(path)


def test_content_counts_and_not_the_extension(tmp_path):
    Image.fromarray(levels(8)).save(tmp_path / "in.avif", "JPEG")
    heic(tmp_path / "in.jpg", levels(8))
    write_picture(tmp_path / "made.avif", Picture(levels(8)))
    (tmp_path / "made.avif").rename(tmp_path / "in.heic")
    assert [image_size(path) for path in list_images(tmp_path)] == [(32, 48)] * 3
    assert [read_image(path).shape for path in list_images(tmp_path)] == [(32, 48, 3)] * 3


def test_a_folder_of_them_is_upscaled_in_their_formats(sr, weights, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(levels(8)).save(tmp_path / "in" / "a.avif")
    heic(tmp_path / "in" / "b.heic", levels(10), 10)
    done = sr("upscale", tmp_path / "in", "-o", tmp_path / "out", "-c", weights("msrresnet", 2))
    assert done.code == 0 and "left out" not in done.err, done.err
    assert Image.open(tmp_path / "out" / "a.avif").size == (96, 64)
    (file,) = pillow_heif.open_heif(tmp_path / "out" / "b.heic")
    assert file.size == (96, 64) and file.info["bit_depth"] == 10


def test_without_the_extra_the_line_names_it(tmp_path):
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(levels(8))).save(buffer)
    (tmp_path / "a.heic").write_bytes(buffer.getvalue())
    Image.fromarray(levels(8)).save(tmp_path / "b.png")
    script = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "import logging; logging.basicConfig(format='%(message)s')\n"
        "from sr_experiments.data.image_files import list_images, read_image\n"
        "from sr_experiments.inference.images import format_of\n"
        "from pathlib import Path\n"
        "print([path.name for path in list_images('.')])\n"
        "for function in (read_image, format_of):\n"
        "    try: function(Path('a.heic'))\n"
        "    except Exception as error: print(error)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "left out: 1 .heic (formats that aren't read)" in done.stderr
    assert done.stdout.splitlines() == [
        "['b.png']",
        "can't read image a.heic: HEIC needs pillow-heif: pip install -e '.[heic]', or convert it to PNG",
        "can't write a.heic: HEIC needs pillow-heif: pip install -e '.[heic]', or choose .avif",
    ]
