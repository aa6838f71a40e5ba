"""Floating-point images: what networks take that were trained on them, or on others, and what is written."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from PIL import Image

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import Checkpoint
from sr_experiments.data.image_files import read_image
from sr_experiments.export.export import write_network
from sr_experiments.inference.images import read_picture
from tests.data.formats.test_exr_image import planes, write

EXACT = ("--device", "cpu", "--runtime", "torch", "--precision", "fp32")


def encoded(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)


def decoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def exr(path: Path) -> np.ndarray:
    """The colours of an EXR file as OpenEXR reads them."""
    pixels = OpenEXR.File(str(path)).channels()["RGB"].pixels
    assert pixels.dtype == np.float32
    return pixels


@pytest.fixture
def linear(tmp_path: Path) -> np.ndarray:
    """An image, also in the files in.exr and in.tif."""
    pixels = np.random.default_rng(0).uniform(0, 1, (24, 30, 3)).astype(np.float32)
    write(tmp_path / "in.exr", **planes(pixels))
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="rgb", software=False, metadata=None)
    return pixels


@pytest.fixture
def network(weights, tmp_path):
    """`network("float")` gives a file of a network that was trained at a depth, and a function that runs it."""

    def make(bits):
        generator, found = load_generator(weights())
        with torch.no_grad():  # brighter than white
            generator.conv_last.bias += 0.5
        found = Checkpoint(generator.state_dict(), found.generator, "x", bits=bits)
        write_network(generator, found, file := tmp_path / f"{bits}.safetensors", "safetensors")

        def run(pixels):
            with torch.inference_mode():
                return generator(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None])[0].permute(1, 2, 0)

        return file, lambda pixels: run(pixels).numpy()

    return make


def test_a_network_of_floats_takes_and_writes_them_as_they_are(sr, network, linear, tmp_path):
    file, run = network("float")
    expected = run(linear)
    assert expected.max() > 1.1
    for source in ("in.exr", "in.tif"):
        for target in ("out.exr", "out.tif"):
            done = sr("upscale", tmp_path / source, "-o", tmp_path / target, "-c", file, *EXACT, "--overwrite")
            assert done.code == 0 and "kept" not in done.err + done.out and "left out" not in done.err, done.err
            made = exr(tmp_path / target) if target == "out.exr" else tifffile.imread(tmp_path / target)
            assert made.dtype == np.float32
            np.testing.assert_allclose(made, expected, atol=1e-6)
    assert "cpu, fp32" in sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "auto.exr", "-c", file).err  # never bf16

    done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "out.png", "-c", file, *EXACT)
    assert "out.png can't hold linear, floating-point numbers: left out" in done.err
    levels = read_picture(tmp_path / "out.png").pixels
    assert np.abs(levels - 65535 * encoded(expected.clip(0, 1))).max() < 1
    done = sr("upscale", tmp_path / "in.tif", "-o", tmp_path / "tif.png", "-c", file, *EXACT)
    assert np.abs(read_picture(tmp_path / "tif.png").pixels - 65535 * expected.clip(0, 1)).max() < 1

    (tmp_path / "folder").mkdir()
    (tmp_path / "in.exr").rename(tmp_path / "folder" / "in.exr")
    assert sr("upscale", tmp_path / "folder", "-o", tmp_path / "large", "-c", file, *EXACT).code == 0
    np.testing.assert_allclose(exr(tmp_path / "large" / "in.exr"), expected, atol=1e-6)
    options = ("--format", "tif", "--strength", 0.5, "--width", 45)  # bicubic again, and reduction
    assert sr("upscale", tmp_path / "folder", "-o", tmp_path / "large", "-c", file, *EXACT, *options).code == 0
    assert tifffile.imread(tmp_path / "large" / "in.tif").max() > 1


def test_a_network_of_8_bits_takes_sRGB_of_EXR_and_its_EXR_is_linear_again(sr, network, linear, tmp_path):
    file, run = network(8)
    done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "out.tif", "-c", file, *EXACT)
    assert "in.exr: linear, floating-point numbers not kept" in done.err
    expected = run(encoded(linear))
    assert np.abs(tifffile.imread(tmp_path / "out.tif") - 65535 * expected.clip(0, 1)).max() < 1.5
    done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "out.exr", "-c", file, *EXACT)
    assert done.code == 0 and "kept" not in done.err
    np.testing.assert_allclose(exr(tmp_path / "out.exr"), decoded(expected), atol=1e-5)
    assert sr("upscale", tmp_path / "in.tif", "-o", tmp_path / "tif.exr", "-c", file, *EXACT).code == 0
    np.testing.assert_allclose(exr(tmp_path / "tif.exr"), decoded(run(linear)), atol=1e-5)
    levels = np.random.default_rng(1).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "in.png")
    assert sr("upscale", tmp_path / "in.png", "-o", tmp_path / "png.exr", "-c", file, *EXACT).code == 0
    np.testing.assert_allclose(exr(tmp_path / "png.exr"), decoded(run(levels / 255)), atol=1e-5)


def test_networks_of_other_depths_are_not_averaged(sr, network, tmp_path):
    done = sr("interpolate", network("float")[0], network(8)[0], "-o", tmp_path / "x.safetensors", "--weight", 0.5)
    assert done.code == 2 and "were trained with data.bits=float and 8: only networks for the same images" in done.err


def test_exports_that_cannot_record_floats_say_so(sr, weights, tmp_path):
    generator, found = load_generator(weights("compact"))
    found = Checkpoint(generator.state_dict(), found.generator, "x", bits="float")
    write_network(generator, found, file := tmp_path / "float.safetensors", "safetensors")
    done = sr("export", file, "-o", tmp_path / "float.param")
    assert done.code == 0 and "float.param can't say data.bits=float: sr upscale will give it" in done.err
    done = sr("export", file, "-o", tmp_path / "float.pth")
    assert done.code == 0 and "data.bits" not in done.err and load_generator(tmp_path / "float.pth")[1].bits == "float"


def test_noise_of_floats_cannot_be_removed(sr, network, linear, tmp_path):
    file, _ = network("float")
    done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "out.exr", "-c", file, "--denoise", 3)
    assert done.code == 2 and "in.exr: --denoise is for 8 and 16 bits" in done.err
    assert not (tmp_path / "out.exr").exists()


def test_EXR_keeps_its_alpha_its_attributes_and_its_place_in_the_window(sr, network, linear, tmp_path):
    file, run = network("float")
    half = np.full(linear.shape[:2], 0.5, np.float32)
    corners = ((4, 6), (4 + 29, 6 + 23)), ((0, 0), (63, 47))
    header = {
        "comments": "a plate",
        "reelXXXXX": np.array([24, 1], np.int32),  # becomes a rational number, which OpenEXR itself can't make
        "chromaticities": (0.7, 0.3, 0.2, 0.7, 0.1, 0.05, 0.31, 0.33),
        "dataWindow": tuple(np.array(corner, np.int32) for corner in corners[0]),
        "displayWindow": tuple(np.array(corner, np.int32) for corner in corners[1]),
    }
    OpenEXR.File(header, {**planes(linear * half[..., None]), "A": half}).write(str(tmp_path / "in.exr"))
    content = (tmp_path / "in.exr").read_bytes()
    (tmp_path / "in.exr").write_bytes(content.replace(b"reelXXXXX\0v2i\0", b"rate\0rational\0"))
    done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "out.exr", "-c", file, *EXACT)
    assert done.code == 0 and "left out" not in done.err and "kept" not in done.err, done.err
    made = OpenEXR.File(str(tmp_path / "out.exr"), separate_channels=True)
    found = made.header()
    assert (
        found["rate"] == Fraction(24)
        and found["comments"] == "a plate"
        and found["chromaticities"] == pytest.approx(header["chromaticities"])
    )
    assert np.array(found["dataWindow"]).tolist() == [[8, 12], [8 + 59, 12 + 47]]
    assert np.array(found["displayWindow"]).tolist() == [[0, 0], [127, 95]]
    channels = {name: channel.pixels for name, channel in made.channels().items()}
    np.testing.assert_allclose(channels["A"], 0.5)
    np.testing.assert_allclose(channels["G"], 0.5 * run(linear)[..., 1], atol=1e-6)
    done = sr("upscale", tmp_path / "in.exr", "-o", tmp_path / "out.png", "-c", file, *EXACT)
    assert "attributes of EXR (chromaticities, comments, displayWindow, rate)" in done.err


def test_evaluation_gives_networks_what_upscaling_gives_them(sr, network, linear, tmp_path):
    from sr_experiments.evaluation.evaluate import Request, evaluate

    (tmp_path / "hr").mkdir()
    (tmp_path / "in.exr").rename(tmp_path / "hr" / "in.exr")
    (floating, _), (other, _) = network("float"), network(8)

    def measured(*checkpoints, **options):
        return evaluate(Request(tmp_path / "hr", checkpoints, device="cpu", crop=0, **options))

    report = measured(floating, save=tmp_path / "saved")
    assert report.conventions["hr"].startswith("floating-point")
    [saved] = (tmp_path / "saved" / "float").iterdir()
    lr = tifffile.imread(saved)
    assert lr.dtype == np.float32 and lr.max() > 1  # what the network made
    again = measured(sr=[tmp_path / "saved" / "float"], scale=2)
    assert again.results[1].mean["psnr_rgb"] == pytest.approx(report.results[1].mean["psnr_rgb"], abs=1e-6)
    assert measured(other).conventions["hr"].startswith("16-bit")
    assert measured(other, bits="float").conventions["hr"].startswith("floating-point")
    with pytest.raises(Exception, match=r"float was trained on and 8 not: measure them apart, or give --bits"):
        measured(other, floating)
    assert read_image(tmp_path / "hr" / "in.exr", 3, "float").max() <= 1


def test_a_run_says_its_depth_in_its_checkpoint_and_a_sheet_shows_all_networks(sr, train, network, linear, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        write(folder / f"{number}.exr", **planes(np.tile(linear, (3, 3, 1))))
    run = train(
        "data=images", f"data.train.root={folder}", "data.bits=float", "~data.val.sample", "data.num_workers=0",
        "trainer.max_steps=1", "data.val_share=0",
    )  # fmt: skip
    generator, found = load_generator(run)
    assert found.bits == generator.bits == "float"
    done = sr("upscale", folder / "0.exr", "-o", tmp_path / "sheet.png", "-c", run, "-c", network(8)[0], *EXACT)
    assert done.code == 0, done.err
    damaged = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for bits in (7, [8]):
        damaged["sr_experiments"]["bits"] = bits
        torch.save(damaged, tmp_path / "damaged.ckpt")
        done = sr("upscale", folder / "0.exr", "-o", tmp_path / "x.exr", "-c", tmp_path / "damaged.ckpt")
        assert done.code == 2 and f"damaged.ckpt is damaged: its record says {bits} bits" in done.err
