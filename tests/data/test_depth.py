"""Pixels of 8 and 16 bits and floating-point numbers, grey, RGB or of bands: files, packs, crops, LR and the pool."""

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch

from sr_experiments.commands.pack import pack as pack_command
from sr_experiments.data.cubic import resize_pixels
from sr_experiments.data.degradations import DEGRADATIONS, Degradation
from sr_experiments.data.degradations.pipeline import Pipeline
from sr_experiments.data.degradations.pool import PairPool
from sr_experiments.data.depth import to_depth
from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.images import ImageFolder, ImageValidation, as_floats
from sr_experiments.data.packs.folders import open_folder
from sr_experiments.data.packs.pack import Pack
from sr_experiments.data.packs.packing import pack
from sr_experiments.errors import SRError

DEPTHS = [8, 16, "float"]


def deep(channels: int = 3, kind: type = np.uint16, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 65536, (40, 48, channels)).astype(np.uint16)
    return values if kind == np.uint16 else (values / np.float32(65535)).astype(kind)


def write_tiff(path: Path, image: np.ndarray, planar: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = {"photometric": "minisblack", "planarconfig": "separate" if planar else "contig"}
    tifffile.imwrite(path, np.moveaxis(image, 2, 0) if planar else image, **layout)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two PNG of 16 bits, one of 8, and a floating-point TIFF."""
    root = tmp_path / "photos"
    root.mkdir()
    for i in range(2):
        (root / f"{i}.png").write_bytes(imagecodecs.png_encode(deep(seed=i)))
    (root / "2.png").write_bytes(imagecodecs.png_encode((deep() >> 8).astype(np.uint8)))
    tifffile.imwrite(root / "3.tif", deep(kind=np.float32), photometric="rgb")
    return root


def test_files_are_read_at_the_depth_that_is_asked_for(photos: Path) -> None:
    image, bytes_ = deep(), (deep() >> 8).astype(np.uint8)
    np.testing.assert_array_equal(read_image(photos / "0.png", 3, 16), image)
    np.testing.assert_array_equal(read_image(photos / "3.tif", 3, "float"), image / np.float32(65535))
    np.testing.assert_array_equal(read_image(photos / "3.tif", 3, 16), image)
    np.testing.assert_array_equal(read_image(photos / "0.png", 3, "float"), image.astype(np.float32) / 65535)
    np.testing.assert_array_equal(read_image(photos / "0.png"), (image.astype(np.uint32) + 128) // 257)
    np.testing.assert_array_equal(read_image(photos / "2.png", 3, 16), bytes_.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(photos / "2.png", 3, "float"), bytes_.astype(np.float32) / 255)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_image(photos / "0.png", 1, 16)[..., 0] - luma).max() < 1
    assert np.abs(read_image(photos / "3.tif", 1, "float")[..., 0] - luma / 65535).max() < 1e-5


@pytest.mark.parametrize("value", [1.01, -0.01, float("nan")])
def test_numbers_beyond_black_and_white_are_refused(tmp_path: Path, value: float) -> None:
    image = deep(kind=np.float32)
    image[3, 4, 1] = value
    tifffile.imwrite(tmp_path / "in.tif", image, photometric="rgb")
    todo = "replace them" if np.isnan(value) else "divide them"
    with pytest.raises(UnreadableImage, match=rf"in\.tif.*only 0 \(black\) to 1 \(white\).*{todo}"):
        read_image(tmp_path / "in.tif", 3, "float")


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_of_a_pack_are_those_of_its_folder(photos: Path, tmp_path: Path, bits, channels) -> None:
    """Also where the pack is deeper than what is asked for."""
    pack(photos, tmp_path / "packed", 0)
    assert Pack(tmp_path / "packed").index.bits == "float"
    arguments = {"crop": 16, "scale": 2, "channels": channels, "bits": bits}
    folder, packed = ImageFolder(str(photos), **arguments), ImageFolder(str(tmp_path / "packed"), **arguments)
    cached = ImageFolder(str(photos), **arguments, cache=str(tmp_path / "cache"))
    kind = {8: torch.uint8, 16: torch.uint16, "float": torch.float32}[bits]
    for n in range(12):
        crop = folder[n]["hr"]
        assert crop.dtype == kind and crop.shape == (channels, 16, 16)
        assert (crop.numpy() == packed[n]["hr"].numpy()).all() and (crop.numpy() == cached[n]["hr"].numpy()).all()
    whole = ImageValidation(str(photos), 2, channels, bits=bits)[1]["hr"]
    assert (whole.numpy().transpose(1, 2, 0) == read_image(photos / "1.png", channels, bits)).all()


def test_sr_pack_keeps_the_depth_and_packs_of_8_bits_are_as_they_were(photos: Path, tmp_path: Path, capsys) -> None:
    (photos / "3.tif").unlink()
    pack_command(photos, tmp_path / "16", [], workers=0)
    assert "16-bit, " in capsys.readouterr().out
    assert (np.asarray(Pack(tmp_path / "16").read("1.png", bits=16)) == deep(seed=1)).all()
    pack_command(photos, tmp_path / "16", None, verify=True)
    pack_command(photos, tmp_path / "8", [], workers=0, bits="8")
    old = Pack(tmp_path / "8")
    assert old.pixels_path.suffix == ".u8" and old.pixels_path.stat().st_size == 3 * 40 * 48 * 3
    meta = json.loads(bytes(np.load(tmp_path / "8" / "pack.index")["meta"]))
    assert meta["version"] == 1 and set(meta) == {"version", "source", "digest", "unreadable"}
    assert (old.read("1.png", bits=16)[:] == to_depth(read_image(photos / "1.png"), 16)).all()
    with pytest.raises(SRError, match="'12' is no depth: choose one of 8, 16, float"):
        pack_command(photos, tmp_path / "12", [], bits="12")


def test_the_first_image_tells_of_another_depth(photos: Path, caplog) -> None:
    caplog.set_level("INFO")
    ImageFolder(str(photos), 16, 2, bits=16)
    assert not caplog.messages
    ImageFolder(str(photos), 16, 2)
    assert "0.png is 16-bit, and read as 8-bit: data.bits=16 keeps its full depth" in caplog.text
    ImageFolder(str(photos), 16, 2, bits="float")
    for name in ("0.png", "1.png", "3.tif"):
        (photos / name).unlink()
    ImageFolder(str(photos), 16, 2, bits=16)
    assert "2.png is 8-bit, and data.bits=16: its values are converted, white stays white" in caplog.text


# -- degradations ------------------------------------------------------------------------------------------


def made_by(degradation: Degradation, bits) -> Degradation:
    degradation.bits = bits
    return degradation


@pytest.mark.parametrize("name", ["bicubic", "blur_down"])
def test_lr_is_rounded_to_the_depth_only(name: str) -> None:
    hr = torch.from_numpy(deep(kind=np.float64)).permute(2, 0, 1)[None]
    exact, at16, at8 = (made_by(DEGRADATIONS[name](scale=4), bits).validation(hr) for bits in ("float", 16, 8))
    assert (at16 * 65535 - (at16 * 65535).round()).abs().max() < 1e-6
    assert 0 < (at16 - exact).abs().max() <= 1.01 / 65535  # both passes of bicubic round
    assert 1 / 1024 < (at8 - exact).abs().max() <= 1.01 / 255
    assert exact.min() >= 0 and exact.max() <= 1
    if name == "bicubic":  # NumPy's of `sr upscale`
        np.testing.assert_array_equal((at16[0].permute(1, 2, 0) * 65535).round(), resize_pixels(deep(), (10, 12)))


def test_steps_keep_the_depth_and_compression_refuses_bands() -> None:
    stages = [{"name": "blur", "kinds": {"iso": 1}, "sigma": [0.5, 1]}, {"name": "noise", "gaussian": [1, 9]}]
    hr = torch.from_numpy(deep(5, np.float32)).permute(2, 0, 1)[None].expand(2, -1, -1, -1)
    for bits, white in ((8, 255), (16, 65535)):
        lr = made_by(Pipeline(2, stages), bits)(hr, torch.Generator().manual_seed(0))
        assert lr.shape == (2, 5, 20, 24)
        assert (lr.double() * white - (lr.double() * white).round()).abs().max() < 0.01
    assert len(made_by(Pipeline(2, stages), "float")(hr, torch.Generator().manual_seed(0)).unique()) > 4000
    Pipeline(2, stages).check_channels(5)
    nested = {"name": "random_order", "groups": [stages, [{"name": "jpeg", "quality": [30, 90]}]]}
    with pytest.raises(SRError, match="JPEG compresses grey and RGB images, and channels=5"):
        Pipeline(2, [nested]).check_channels(5)


@pytest.mark.parametrize("bits", [16, "float"])
def test_the_pool_gives_pairs_back_at_full_depth(bits) -> None:
    pool, rng = PairPool(4, bits), torch.Generator().manual_seed(0)
    white = 65535 if bits == 16 else 2.0**24
    images = (torch.rand(8, 3, 8, 8, generator=rng) * white).round() / white
    pool(images[:4, :, :2, :2], images[:4], rng)
    lr, hr = pool(images[4:, :, :2, :2], images[4:], rng)
    assert sorted(hr[:, 0, 0, 0].tolist()) == sorted(images[:4, 0, 0, 0].tolist())
    assert torch.equal(lr, hr[:, :, :2, :2])
    again = PairPool(4, bits)
    again.load_state_dict(pool.state_dict())
    assert torch.equal(again.hr, pool.hr)
    with pytest.raises(SRError, match=r"data\.bits=8 is not the depth of the run's pool of pairs"):
        PairPool(4).load_state_dict(pool.state_dict())


# -- bands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 8])
def test_bands_are_read_however_they_are_stored(tmp_path: Path, channels: int, kind) -> None:
    image, bits = deep(channels, kind), 16 if kind == np.uint16 else "float"
    write_tiff(tmp_path / "in" / "contig.tif", image)
    write_tiff(tmp_path / "in" / "planar.tif", image, planar=True)
    tifffile.imwrite(tmp_path / "in" / "pages.tif", np.moveaxis(image, 2, 0), photometric="minisblack")
    for name in ("contig", "planar", "pages"):
        np.testing.assert_array_equal(read_image(tmp_path / "in" / f"{name}.tif", channels, bits), image)
    (tmp_path / "in" / "pages.tif").rename(tmp_path / "pages.tif")  # nothing says that its pages are bands
    packed = pack(tmp_path / "in", tmp_path / "packed", 0, channels=channels)
    assert (packed.index.bits, packed.index.channels) == (bits, channels)
    np.testing.assert_array_equal(packed.read("planar.tif", channels, bits=bits), image)
    cached = open_folder(tmp_path / "in", tmp_path / "cache", bits=bits, channels=channels)
    np.testing.assert_array_equal(cached.read(cached.images()[0], channels, bits), image)
    with pytest.raises(UnreadableImage, match=f"holds {channels} channels per pixel, and channels=3 needs as many"):
        packed.read("planar.tif", 3)
    with pytest.raises(UnreadableImage, match=f"it has {channels} channels, and channels=7 needs as many"):
        read_image(tmp_path / "in" / "contig.tif", 7)


def test_all_samples_are_bands_whatever_they_are_called(tmp_path: Path) -> None:
    image = deep(4)
    tifffile.imwrite(tmp_path / "rgbn.tif", image, photometric="rgb", extrasamples=["unspecified"])
    (tmp_path / "rgba.png").write_bytes(imagecodecs.png_encode(image))
    for name in ("rgbn.tif", "rgba.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name, 4, 16), image)
        np.testing.assert_array_equal(read_image(tmp_path / name, 3, 16), image[..., :3])
    write_tiff(tmp_path / "bands.tif", deep(8))
    with pytest.raises(UnreadableImage, match=r"8 channels whose meaning it doesn't say; .* channels=8"):
        read_image(tmp_path / "bands.tif")


def test_float_tensors_of_all_depths() -> None:
    for kind, white in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 1)):
        values = torch.from_numpy(np.array([0, white], kind))
        assert as_floats(values).tolist() == [0, 1] and as_floats(values).dtype == torch.float32


def test_pages_of_which_one_is_read_are_counted_and_other_bands_are_refused_at_once(tmp_path: Path, caplog) -> None:
    (tmp_path / "pages").mkdir()
    for n in range(2):
        tifffile.imwrite(tmp_path / "pages" / f"{n}.tif", np.moveaxis(deep(8), 2, 0), photometric="minisblack")
    pack_command(tmp_path / "pages", tmp_path / "packed", [], workers=0)
    assert "0.tif, like 1 more, has 8 pages, and only the first is read: if they are bands, give --channels 8" in (
        caplog.text
    )
    caplog.clear()
    ImageFolder(str(tmp_path / "pages"), 16, 2)
    assert "0.tif has 8 pages, and only the first is read: if they are bands, set channels=8" in caplog.text
    caplog.clear()
    ImageFolder(str(tmp_path / "pages"), 16, 2, channels=8)
    assert "only the first" not in caplog.text
    write_tiff(tmp_path / "bands" / "0.tif", deep(4))
    pack_command(tmp_path / "bands", tmp_path / "packed4", [], workers=0)
    for folder, channels in (("bands", 8), ("bands", 3), ("packed4", 3)):
        with pytest.raises(SRError, match=f"has 4 bands, and channels={channels}: set channels=4"):
            ImageFolder(str(tmp_path / folder), 16, 2, channels=channels)
