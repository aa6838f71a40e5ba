"""JPEG XL files: read and written with all their bits, transparency, EXIF and XMP, as sRGB."""

import base64
import io

import imagecodecs
import numpy as np
import pillow_jxl
import pytest
from PIL import Image, ImageCms

from sr_experiments.data.formats.metadata import Metadata
from sr_experiments.data.image_files import UnreadableImage, image_size, read_image
from sr_experiments.inference.images import Picture, read_picture, write_picture


def levels(bits, channels=3, height=33, width=47):
    values = np.linspace(0, 2**bits - 1, height * width).round().astype(np.uint16).reshape(height, width, 1)
    image = np.concatenate((values, values[::-1], values[:, ::-1], values), 2)[..., :channels]
    return image.astype(np.uint8) if bits == 8 else image


def exif():
    tags = Image.Exif()
    tags[0x010E] = "a harbour"
    return tags.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("container", [False, True])
def test_all_levels_are_read_from_black_to_white(tmp_path, bits, channels, container):
    given = levels(bits, channels)
    squeezed = np.ascontiguousarray(given[..., 0] if channels == 1 else given)
    content = imagecodecs.jpegxl_encode(squeezed, bitspersample=bits, lossless=True, usecontainer=container)
    (tmp_path / "in.jxl").write_bytes(content)
    picture = read_picture(tmp_path / "in.jxl")
    got = picture.pixels if picture.alpha is None else np.dstack((picture.pixels, picture.alpha))
    expected = given if bits == 8 else np.rint(given.astype(float) * (65535 / (2**bits - 1))).astype(np.uint16)
    np.testing.assert_array_equal(got, expected)
    assert image_size(tmp_path / "in.jxl") == (33, 47)
    assert read_image(tmp_path / "in.jxl").shape == (33, 47, 3)


@pytest.mark.parametrize(("bits", "quality"), [(8, 100), (8, 90), (16, 100), (16, 90)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_a_picture_is_and_says_is_written(tmp_path, bits, quality, channels):
    image = levels(bits, channels)
    alpha = image[..., 3:] if channels == 4 else None
    metadata = Metadata(exif=exif(), xmp=b"<x:xmpmeta/>")
    assert write_picture(tmp_path / "out.jxl", Picture(image[..., :3], alpha, None, metadata), quality) == ""
    content = (tmp_path / "out.jxl").read_bytes()
    made = imagecodecs.jpegxl_decode(content).reshape(image.shape)
    if quality == 100 or bits == 16:
        np.testing.assert_array_equal(made, image)
    else:
        assert np.abs(made.astype(int) - image).mean() < 3
    _, info, _, icc, boxes = pillow_jxl.Decoder()(content)  # another reader of libjxl's
    described = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    assert described.strip() in ("sRGB", "Gra_D65_Rel_SRG") and (info.width, info.height) == (47, 33)
    assert [box.data for box in boxes if box.box_type == b"Exif"] == [bytes(4) + exif()]
    again = read_picture(tmp_path / "out.jxl")
    assert (again.metadata.exif, again.metadata.xmp, again.metadata.chunks) == (exif(), b"<x:xmpmeta/>", ())


def test_linear_light_is_kept_or_named(tmp_path):
    (tmp_path / "in.jxl").write_bytes(imagecodecs.jpegxl_encode(levels(16), lossless=True))  # which it says of 16 bits
    picture = read_picture(tmp_path / "in.jxl")
    assert dict(picture.metadata.chunks) == {"cICP": bytes((1, 8, 0, 1))}
    assert write_picture(tmp_path / "out.png", picture) == ""
    assert write_picture(tmp_path / "out.tif", picture) == "colours as of cICP"
    assert "the colour profile" in write_picture(tmp_path / "out.jxl", Picture(levels(8), icc=b"a profile"))


# Eight pixels a side with a colour profile whose red and green are exchanged, as libjxl 0.11 writes it.
WITH_PROFILE = base64.b85decode(
    b"0000CN?1%F4GM<}0000KW^{RQYItlQ00000YItlQ0003(YItm8{|Z4s2(JwT66OJrnxX>3OY=H9ZF-IQFzzsDh;3}dfSb%yk6|9scay-oNX$"
    b"K9h=&11hHz&ax3)W*#L=}i<ml+=(i#pR>uBqY0AKN(nlo;5%49|X81R2#X~owp4t1Tl%4KII4}}4W)~2%3(@b^wZQft9evBT-WgXuEj=sX?%"
    b"BG&8(!&N=J6jIWRJOE~HHYk3S)Wl&r?Czd;3;qa{>`Vn)tf;5ApQHdFVw$({Y0?Gg@CWMZy*?49rhqFqz{}&fNTvxu?uwT02j-$zdD<yCM53"
    b"!r)F>`C>*&tiYnXkVFzf`6{OrjrY4k017kE_7dZ$70RZR#ODHAQfr5g75og9Q#u&z6(F+6+@B#lH^Z)<<|NsC0|NsC05A5&ip9>B-2S&QYmB"
    b"R==1Ub0?CIJ"
)


def test_a_colour_profile_is_said_to_be_left_out(sr, weights, tmp_path):
    (tmp_path / "in.jxl").write_bytes(WITH_PROFILE)
    done = sr("upscale", tmp_path / "in.jxl", "-o", tmp_path / "out.png", "-c", weights(), "--device", "cpu")
    assert done.code == 0 and "in.jxl: the colour profile not kept" in done.err


def test_damaged_enormous_and_moving_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "in.jxl"
    write_picture(path, Picture(levels(8), metadata=Metadata(exif=exif())))
    whole = path.read_bytes()
    moving = imagecodecs.jpegxl_encode(np.stack([levels(8)] * 3), lossless=True)
    enormous = b"\xff\x0a" + (3 << 1 | (2**29) << 3 | 1 << 33).to_bytes(8, "little") + bytes(30)  # 2^29 + 1 squared
    for content in (whole[:14], whole[:60], whole[: len(whole) // 2], whole[:-3], b"\xff\x0a", moving, enormous):
        path.write_bytes(content)
        with pytest.raises(UnreadableImage, match=r"can't read image .*in\.jxl: .*; replace or remove the file"):
            read_picture(path)


@pytest.mark.parametrize("channels", [3, 4])
def test_of_an_animation_training_reads_the_first_picture(tmp_path, channels):
    frames = np.stack([levels(16, channels), levels(16, channels)[::-1]])
    (tmp_path / "in.jxl").write_bytes(imagecodecs.jpegxl_encode(frames, lossless=True))
    np.testing.assert_array_equal(read_image(tmp_path / "in.jxl"), (levels(16).astype(np.uint32) + 128) // 257)


def test_floating_point_numbers_are_refused(tmp_path):
    (tmp_path / "in.jxl").write_bytes(imagecodecs.jpegxl_encode(levels(16) / np.float32(65535), lossless=True))
    with pytest.raises(UnreadableImage, match="floating-point ones, convert it to 8 or 16 bits"):
        read_image(tmp_path / "in.jxl")
