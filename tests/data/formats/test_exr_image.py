"""OpenEXR: linear in light as floating-point numbers, encoded as sRGB for integers."""

from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from sr_experiments.data.image_files import UnreadableImage, image_size, list_images, read_image
from sr_experiments.errors import SRError
from sr_experiments.inference.images import Picture, read_picture, write_picture


def write(path: Path, **channels: np.ndarray) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


@pytest.fixture
def linear() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (12, 17, 3)).astype(np.float32)


def planes(image: np.ndarray, names: str = "RGB") -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(image[..., i]) for i, name in enumerate(names)}


def test_colours_and_alpha(tmp_path: Path, linear: np.ndarray) -> None:
    write(tmp_path / "in.exr", **planes(linear))
    assert list_images(tmp_path) == [tmp_path / "in.exr"] and image_size(tmp_path / "in.exr") == (12, 17)
    np.testing.assert_array_equal(read_image(tmp_path / "in.exr", 3, "float"), linear)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    for bits, white in ((8, 255), (16, 65535)):
        assert np.abs(read_image(tmp_path / "in.exr", 3, bits) - encoded * white).max() < 0.51
    picture = read_picture(tmp_path / "in.exr")
    assert np.abs(picture.pixels - encoded * 65535).max() < 0.51
    assert picture.lost == ("linear, floating-point numbers",)
    half = np.full((12, 17), 0.5, np.float32)
    write(tmp_path / "alpha.exr", **planes(linear * half[..., None]), A=half)
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.exr", 3, "float"), linear)


def test_light_where_alpha_is_0_is_named_as_lost_and_deep_files_are_refused(tmp_path: Path, linear: np.ndarray) -> None:
    alpha = np.ones((12, 17), np.float32)
    alpha[2:4] = 0
    write(tmp_path / "fire.exr", **planes(linear), A=alpha)
    assert read_picture(tmp_path / "fire.exr", 3, "float").lost == ("colours of transparent pixels",)
    write(tmp_path / "matte.exr", **planes(linear * alpha[..., None]), A=alpha)
    assert read_picture(tmp_path / "matte.exr", 3, "float").lost == ()
    deep = np.empty((4, 5), object)
    for place in np.ndindex(deep.shape):
        deep[place] = np.array([0.25, 0.5], np.float32)
    header = {"type": OpenEXR.deepscanline, "compression": OpenEXR.ZIPS_COMPRESSION}
    OpenEXR.File(header, dict.fromkeys("RGBAZ", deep)).write(str(tmp_path / "deep.exr"))
    with pytest.raises(UnreadableImage, match="it is a deep image: flatten it"):
        read_picture(tmp_path / "deep.exr")


def test_bands_and_what_is_refused(tmp_path: Path, linear: np.ndarray) -> None:
    bands = planes(np.concatenate((linear, linear), 2).astype(np.float16), "abcdef")
    write(tmp_path / "bands.exr", **bands)
    np.testing.assert_array_equal(
        read_image(tmp_path / "bands.exr", 6, "float"), np.concatenate((linear, linear), 2).astype(np.float16)
    )
    with pytest.raises(UnreadableImage, match="its channels are a, b, c, d, e, f, and not R, G, B or Y"):
        read_image(tmp_path / "bands.exr")
    write(tmp_path / "bright.exr", **planes(linear * 4))
    with pytest.raises(UnreadableImage, match=r"only 0 \(black\) to 1 \(white\) have a defined meaning"):
        read_image(tmp_path / "bright.exr", 3, "float")
    write(tmp_path / "in.exr", **planes(linear))
    content = (tmp_path / "in.exr").read_bytes()
    (tmp_path / "cut.exr").write_bytes(content[: len(content) // 2])
    (tmp_path / "head.exr").write_bytes(content[:4] + bytes(50))
    for name in ("cut", "head"):
        with pytest.raises(UnreadableImage, match=rf"can't read image .*{name}\.exr: damaged;"):
            read_image(tmp_path / f"{name}.exr", 3, "float")


def test_without_the_extra_it_is_named(tmp_path: Path, linear: np.ndarray, monkeypatch) -> None:
    write(tmp_path / "in.exr", **planes(linear))
    monkeypatch.setattr("sr_experiments.data.formats.exr_image.is_installed", lambda: False)
    with pytest.raises(UnreadableImage, match=r"EXR needs OpenEXR: .*exr"):
        read_image(tmp_path / "in.exr")
    with pytest.raises(SRError, match=r"out\.exr: EXR needs OpenEXR: .*exr.*, or choose \.tif"):
        write_picture(tmp_path / "out.exr", Picture(linear))
