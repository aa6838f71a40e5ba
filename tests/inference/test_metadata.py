"""What a file says about its picture is in the enlarged file too, or is named as lost."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from sr_experiments.data.formats.directory import Entry, byte_order, read_directory
from sr_experiments.data.formats.metadata import directory_of, encode_exif
from sr_experiments.data.formats.png import read_chunks, with_chunks
from sr_experiments.data.image_files import image_size, read_image
from sr_experiments.inference.images import Picture, read_picture, write_picture

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="24">'
    b"<dc:title>kept</dc:title></rdf:Description></x:xmpmeta>"
)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LINEAR = ("gAMA", struct.pack(">I", 100_000))
PQ = ("cICP", bytes((9, 16, 0, 1)))
WIDE = ("cHRM", struct.pack(">8I", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600))
SRGB = ("sRGB", b"\0")
UTF_16 = {"<": "utf-16-le", ">": "utf-16-be"}
SUFFIXES = [".jpg", ".png", ".webp", ".tif", ".bmp"]


def photograph(width=24, height=16):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def exif(orientation=6):
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "a camera", orientation
    tags[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 24, 0xA003: 16}
    return tags.tobytes()


def encoded(kind="PNG", **options):
    buffer = io.BytesIO()
    photograph().save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def jpeg(tmp_path):
    """A photograph of a camera that was held upright."""
    path = tmp_path / "in.jpg"
    path.write_bytes(encoded("JPEG", exif=exif(), xmp=XMP, icc_profile=PROFILE, dpi=(300, 300), comment=b"a comment"))
    return path


def enlarged(picture):
    picture.pixels = picture.pixels.repeat(2, 0).repeat(2, 1)
    return picture


def chunks_of(path):
    with path.open("rb") as file:
        return dict(read_chunks(file))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_photograph_is_upright_and_keeps_what_it_says(tmp_path, jpeg, suffix, depth):
    picture = enlarged(read_picture(jpeg))
    assert picture.pixels.shape == (48, 32, 3)
    if depth == 16:
        picture.pixels = picture.pixels.astype(np.uint16) * 257
    lost = write_picture(tmp_path / f"out{suffix}", picture, 100)
    result = Image.open(tmp_path / f"out{suffix}")
    assert result.size == (32, 48)
    expected = {
        ".jpg": [], ".png": [], ".webp": ["the resolution", "the comment"], ".tif": ["the comment"],
        ".bmp": ["the colour profile", "EXIF", "XMP", "the comment"],
    }[suffix]  # fmt: skip
    if suffix in (".jpg", ".webp", ".bmp") and depth == 16:
        expected = ["16 bits per channel", *expected]
    assert sorted(lost.replace(" and ", ", ").split(", ")) == sorted(expected or [""])
    again = read_picture(tmp_path / f"out{suffix}")
    assert again.pixels.shape == (48, 32, 3)
    if suffix == ".bmp":
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        return
    assert again.icc == PROFILE
    assert again.metadata.xmp == XMP.replace(b'n="6"', b'n="1"').replace(b'"24"', b'"32"')
    tags = result.getexif()
    assert tags[0x010F] == "a camera" and tags.get(0x0112, 1) == 1
    assert tags.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    if suffix != ".webp":
        assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    if suffix != ".tif":
        assert tags.get_ifd(0x8769)[0xA002] == 32
    if suffix == ".jpg":
        assert result.info["comment"] == b"a comment"
    if suffix == ".png":
        assert chunks_of(tmp_path / "out.png")["iTXt"] and b"a comment" in (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize("deep", [False, True])
def test_png_keeps_what_its_numbers_mean(tmp_path, deep):
    chunks = [PQ, LINEAR, WIDE, ("pHYs", struct.pack(">IIB", 3, 2, 0)), ("tEXt", b"Author\0somebody")]
    content = np.full((6, 8, 3), 9000, np.uint16)
    write_picture(tmp_path / "plain.png", Picture(content if deep else content.astype(np.uint8)))
    (tmp_path / "in.png").write_bytes(with_chunks((tmp_path / "plain.png").read_bytes(), chunks))
    assert write_picture(tmp_path / "out.png", enlarged(read_picture(tmp_path / "in.png"))) == ""
    assert chunks_of(tmp_path / "out.png") == dict(chunks)


@pytest.mark.parametrize(
    "chunks, profile, lost",
    [
        ([LINEAR], None, "colours as of gAMA"),
        ([LINEAR, WIDE], None, "colours as of gAMA and cHRM"),
        ([PQ, LINEAR], None, "colours as of cICP"),
        ([PQ], PROFILE, "colours as of cICP"),
        ([LINEAR], PROFILE, ""),  # the profile counts, and is kept
        ([SRGB, ("gAMA", struct.pack(">I", 45_455))], None, ""),
        ([("gAMA", struct.pack(">I", 45_455))], None, ""),
        ([("tEXt", b"Author\0somebody")], None, "text"),
        ([("pHYs", struct.pack(">IIB", 11_811, 11_811, 1))], None, ""),
    ],
)
def test_what_a_jpeg_cannot_say_of_a_png_is_named(tmp_path, chunks, profile, lost):
    (tmp_path / "in.png").write_bytes(with_chunks(encoded(icc_profile=profile), chunks))
    assert write_picture(tmp_path / "out.jpg", read_picture(tmp_path / "in.png")) == lost
    with Image.open(tmp_path / "out.jpg") as result:
        assert result.info.get("icc_profile") == profile
        if chunks[0][0] == "pHYs":
            assert result.info["dpi"] == (300, 300)


def test_webp_has_the_resolution_in_exif(tmp_path):
    (tmp_path / "in.png").write_bytes(encoded(dpi=(300, 300)))
    assert write_picture(tmp_path / "out.webp", read_picture(tmp_path / "in.png")) == ""
    with Image.open(tmp_path / "out.webp") as result:
        tags = result.getexif()
        assert (tags[0x011A], tags[0x011B], tags[0x0128]) == (300, 300, 2)


@pytest.mark.parametrize("place", ["early", "late", "hexadecimal"])
@pytest.mark.parametrize("deep", [False, True])
def test_exif_and_xmp_of_a_png_are_found_where_programs_put_them(tmp_path, place, deep):
    content = np.random.default_rng(0).integers(0, 65536, (16, 24, 3), np.uint16)
    write_picture(tmp_path / "in.png", Picture(content if deep else (content >> 8).astype(np.uint8)))
    plain, tags = (tmp_path / "in.png").read_bytes(), exif().removeprefix(b"Exif\0\0")
    if place == "hexadecimal":  # ImageMagick 6
        profile = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(tags)}\n{tags.hex()}\n".encode())
        xmp = b"Raw profile type xmp\0\0" + zlib.compress(f"\nxmp\n{len(XMP)}\n{XMP.hex()}\n".encode())
        chunks = [("zTXt", profile), ("zTXt", xmp)]
    else:  # ExifTool, libvips
        chunks = [("eXIf", tags), ("zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(XMP))]
    whole = with_chunks(plain, chunks)
    if place == "late":  # ImageMagick 6 and 7
        whole = plain[:-12] + whole[33 : 33 + len(whole) - len(plain)] + plain[-12:]
    (tmp_path / "in.png").write_bytes(whole)
    assert image_size(tmp_path / "in.png") == (24, 16)
    assert read_image(tmp_path / "in.png").shape == (24, 16, 3)
    picture = read_picture(tmp_path / "in.png")
    assert picture.pixels.shape == (24, 16, 3)
    assert picture.metadata.exif == tags and picture.metadata.xmp == XMP
    np.testing.assert_array_equal(picture.pixels >> (8 if deep else 0), np.rot90(content, -1) >> 8)


def test_the_first_picture_of_a_jpeg_is_meant(tmp_path):
    second = photograph(6, 4)
    photograph().save(tmp_path / "in.jpg", "MPO", save_all=True, append_images=[second], exif=exif(), quality=95)
    with Image.open(tmp_path / "in.jpg") as file:
        assert file.format == "MPO" and file.n_frames == 2
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.lost == ("the pictures after the first",)
    np.testing.assert_array_equal(picture.pixels, read_image(tmp_path / "in.jpg"))
    assert picture.pixels.shape == (*image_size(tmp_path / "in.jpg"), 3) == (24, 16, 3)


@pytest.mark.parametrize(
    "appendix, attributes",
    [
        ("the gain map", 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'),
        ("the video", 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"'),
        ("the video", 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MicroVideoOffset="3000"'),
    ],
)
def test_what_describes_something_after_the_picture_goes_with_it(tmp_path, appendix, attributes):
    xmp = f"<rdf:Description {attributes}/>".encode()
    (tmp_path / "in.jpg").write_bytes(encoded("JPEG", xmp=xmp))
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.metadata.xmp is None and picture.lost == (appendix,)


def test_damaged_exif_goes_along_as_it_is(tmp_path):
    tags = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"
    (tmp_path / "in.jpg").write_bytes(encoded("JPEG", exif=tags))
    for suffix in SUFFIXES:
        write_picture(tmp_path / f"out{suffix}", read_picture(tmp_path / "in.jpg"))
        assert read_picture(tmp_path / f"out{suffix}").pixels.shape == (16, 24, 3)


def test_metadata_that_are_too_long_for_a_jpeg_are_named(tmp_path):
    tags = Image.Exif()
    tags[0x010E] = "long" * 20_000
    (tmp_path / "in.png").write_bytes(
        with_chunks(encoded(exif=tags), [("iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP + b" " * 70_000)])
    )
    assert write_picture(tmp_path / "out.jpg", read_picture(tmp_path / "in.png")) == "EXIF and XMP"
    assert write_picture(tmp_path / "out.webp", read_picture(tmp_path / "in.png")) == ""


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("through", SUFFIXES[:4])
def test_text_of_any_language_is_kept_from_format_to_format(tmp_path, order, through):
    description, comment = "Fête à 3 €".encode() + b"\0", b"UNICODE\0" + "日本".encode(UTF_16[order])
    tags = {0x010E: Entry(2, len(description), description)}
    below = {0x8769: {0x9286: Entry(7, len(comment), comment)}}
    (tmp_path / "in.jpg").write_bytes(encoded("JPEG", exif=b"Exif\0\0" + encode_exif(tags, below, order)))
    write_picture(tmp_path / f"between{through}", read_picture(tmp_path / "in.jpg"))
    write_picture(tmp_path / "out.jpg", read_picture(tmp_path / f"between{through}"))
    found = read_picture(tmp_path / "out.jpg").metadata.exif
    assert directory_of(found)[0x010E].content == description
    inner = directory_of(found)[0x8769].number(byte_order(found))
    content = read_directory(io.BytesIO(found), byte_order(found), inner)[0x9286].content
    assert content.removeprefix(b"UNICODE\0").decode(UTF_16[byte_order(found)]) == "日本"


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_a_resolution_that_only_exif_says_is_kept(tmp_path, kind, suffix):
    tags = Image.Exif()
    tags[0x011A] = tags[0x011B] = 94.5
    tags[0x0128] = 3  # centimetres
    (tmp_path / "in").write_bytes(encoded(kind, exif=tags.tobytes()))
    write_picture(tmp_path / f"out{suffix}", read_picture(tmp_path / "in"))
    with Image.open(tmp_path / f"out{suffix}") as result:
        assert result.info["dpi"] == pytest.approx((240, 240), abs=0.1)


def test_the_profile_of_a_tiff_in_ycbcr_is_kept(tmp_path):
    photograph().convert("YCbCr").save(tmp_path / "in.tif", icc_profile=PROFILE)
    assert read_picture(tmp_path / "in.tif").icc == PROFILE
