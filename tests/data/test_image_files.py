import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from sr_experiments.data.image_files import UnreadableImage, image_size, image_sizes, list_images, read_image
from sr_experiments.errors import SRError


def test_lists_nested_folders_in_natural_order(tmp_path: Path, save_image) -> None:
    for name in ("b/2.png", "b/10.png", "b/1.JPG", "a10/x.webp", "a9/x.bmp", "0.tiff", ".hidden/1.png", "b/._1.png"):
        save_image(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("no image")
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["0.tiff", "a9/x.bmp", "a10/x.webp", "b/1.JPG", "b/2.png", "b/10.png"]


def test_follows_linked_folders(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert list_images(tmp_path / "root") == [tmp_path / "root" / "link" / "1.png"]


def test_missing_and_empty_folders_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SRError, match=r"no folder .*nowhere"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(SRError, match=r"no images in .* looked for \.png \.jpg"):
        list_images(tmp_path)


@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9])  # the last two mean nothing
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation_is_applied_and_sizes_agree(tmp_path: Path, orientation: int, suffix: str) -> None:
    # A picture dark but for its bright top left quarter, stored the way the camera held it.
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255
    inverse = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, 1)
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    stored = Image.fromarray(np.ascontiguousarray(turns[inverse](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"picture{suffix}"
    stored.save(path, exif=exif)
    assert image_size(path) == (32, 48)
    assert np.abs(read_image(path).astype(int) - upright).mean() < 6  # JPEG and WebP lose a little


def test_an_interlaced_png_of_16_bits_is_read_without_a_warning(tmp_path: Path, caplog) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 13, 3), np.uint16)
    rows = b""
    for x, y, step_x, step_y in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):  # Adam7
        rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels[y::step_y, x::step_x] if row.size)
    header = ("IHDR", struct.pack(">IIBBBBB", 13, 9, 16, 2, 0, 0, 1))
    chunks = b"".join(
        struct.pack(">I", len(content)) + (body := name.encode() + content) + struct.pack(">I", zlib.crc32(body))
        for name, content in (header, ("IDAT", zlib.compress(rows)), ("IEND", b""))
    )
    (tmp_path / "in.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert (read_image(tmp_path / "in.png") == (pixels.astype(np.uint32) + 128) // 257).all()
    assert not caplog.records


def test_a_folder_in_place_of_an_image_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"can't read image .*: a folder; give an image"):
        read_image(tmp_path)


def test_grey_palette_and_alpha_become_rgb(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(colour).save(tmp_path / "alpha.png")
    palette = Image.fromarray(np.stack([grey, grey[::-1], grey.T], 2)).quantize(64)
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 128]))
    assert (read_image(tmp_path / "grey.png") == grey[:, :, None].repeat(3, 2)).all()
    assert (read_image(tmp_path / "alpha.png") == colour[:, :, :3]).all()
    assert (read_image(tmp_path / "palette.png") == np.array(palette.convert("RGB"))).all()


def test_colour_becomes_luma_with_one_channel(tmp_path: Path, save_image) -> None:
    pixels = save_image(tmp_path / "colour.png")
    grey = read_image(tmp_path / "colour.png", channels=1)
    assert grey.shape == (40, 48, 1)
    assert np.abs(grey[:, :, 0] - pixels @ [0.299, 0.587, 0.114]).max() <= 1


def test_sixteen_bit_grey_is_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    for name in ("grey.png", "grey.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert read_image(tmp_path / name, channels=1)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_sixteen_bit_colour_is_rounded_to_eight(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = struct.pack(">6H", 0x1234, 0xFFFF, 0, 0x80FF, 0x7F00, 0x0081)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + pixels)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert read_image(tmp_path / "deep.png").tolist() == [[[0x12, 0xFF, 0], [0x80, 0x7F, 0x01]]]


@pytest.mark.parametrize("values", [(0.0, 1.5), (-0.5, 1.0), (0.0, float("nan")), (0.0, 255.0)])
def test_floating_point_numbers_beyond_black_and_white_are_refused(tmp_path: Path, values) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.array([values] * 4, np.float32))
    with pytest.raises(UnreadableImage, match=r"float\.tif.*only 0 \(black\) to 1 \(white\) have a defined meaning"):
        read_image(tmp_path / "float.tif")


def test_a_jpeg_of_12_bits_is_named(tmp_path: Path) -> None:
    content = imagecodecs.jpeg8_encode(np.full((16, 16), 2000, np.uint16), bitspersample=12)
    (tmp_path / "deep.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"deep\.jpg: 12 bits per channel in a JPEG are not supported"):
        read_image(tmp_path / "deep.jpg")


@pytest.mark.parametrize("kind, said", [(np.uint32, "no defined range"), (np.int16, "signed integers")])
def test_integers_without_a_defined_range_are_refused(tmp_path: Path, kind, said) -> None:
    tifffile.imwrite(tmp_path / "integers.tif", np.ones((4, 4), kind))
    with pytest.raises(UnreadableImage, match=said):
        read_image(tmp_path / "integers.tif")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_truncated_files_are_named(tmp_path: Path, save_image, truncate, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    save_image(path)
    truncate(path)
    with pytest.raises(UnreadableImage, match=f"cut{suffix}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_image_is_named_and_returned_among_sizes(tmp_path: Path, save_image) -> None:
    save_image(tmp_path / "good.png", 20, 30)
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    paths = [tmp_path / name for name in ("good.png", "text.png", "empty.png", "gone.png")]
    sizes = image_sizes(paths)
    assert sizes[0] == (20, 30)
    for path, size in zip(paths[1:], sizes[1:], strict=True):
        assert isinstance(size, UnreadableImage) and path.name in str(size)
