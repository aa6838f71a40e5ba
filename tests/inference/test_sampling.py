"""`sr upscale` of networks that sample, `--steps`, `--strength`, `--seed`; and between two checkpoints of a network."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.inference.checks import check_checkpoints
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.loading import load
from sr_experiments.inference.options import Options
from tests.generators.test_generators import tiny

PLAIN = ["--device", "cpu", "--precision", "fp32", "--runtime", "torch"]


@pytest.fixture
def flow(tmp_path):
    """`flow("flow_distilled")` saves a tiny flow as `sr export` does, and gives the file."""

    def make(name="flow"):
        from sr_experiments.checkpoints.reading import Checkpoint
        from sr_experiments.export.export import write_network
        from sr_experiments.generators import GENERATORS

        torch.manual_seed(0)
        generator = tiny(name, scale=2)
        for parameter in generator.velocity.parameters():  # the scales of its branches begin as zero
            torch.nn.init.normal_(parameter, std=0.1)
        config = {"name": name, "scale": 2, "channels": 3, **GENERATORS.small[name]}
        file = tmp_path / f"{name}.safetensors"
        write_network(generator, Checkpoint(generator.state_dict(), config, name), file, "safetensors")
        return file

    return make


@pytest.fixture
def photograph(tmp_path):
    import skimage.data

    path = tmp_path / "in.png"
    Image.fromarray(skimage.data.chelsea()[:30, :40]).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "options", "others"),
    [("flow", ["--steps", "3", "--seed", "5"], ["--steps", "1", "--seed", "5"]),
     ("flow", ["--seed", "5"], ["--seed", "6"]),
     ("flow_distilled", ["--strength", "0.25"], ["--strength", "1"])],
)  # fmt: skip
def test_a_picture_is_decided_by_the_options(sr, flow, photograph, tmp_path, name, options, others):
    pictures = []
    for number, given in enumerate((options, options, others)):
        done = sr("upscale", photograph, "-o", tmp_path / f"{number}.png", "-c", flow(name), *PLAIN, *given)
        assert done.code == 0, done.err
        pictures.append(np.array(Image.open(tmp_path / f"{number}.png")))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


def test_a_strength_between_two_checkpoints_is_that_of_their_averaged_weights(sr, weights, photograph, tmp_path):
    first, second = weights("msrresnet", 2), weights("msrresnet", 2, seed=1)
    both = ["-c", first, "-c", second, "--strength", "0.3"]
    done = sr("upscale", photograph, "-o", tmp_path / "out.png", *both, *PLAIN)
    assert done.code == 0 and f"0.7 of {first.name}" in done.err, done.err
    assert sr("interpolate", first, second, "-w", "0.3", "-o", tmp_path / "between.pth").code == 0
    between, _ = load([tmp_path / "between.pth"], Options())
    expected = Engine(between, "cpu", "fp32", runtime="torch").upscale(np.array(Image.open(photograph)))
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out.png")), expected)


@pytest.mark.parametrize(
    ("of", "options", "said"),
    [("msrresnet", ["--steps", "4"], "--steps is for a network of model=flow, not for msrresnet"),
     ("msrresnet", ["--seed", "1"], "--seed is for networks that draw noise"),
     ("flow", ["--strength", "0.5"], "not for flow.safetensors"),
     ("flow_distilled", ["--steps", "4"], "not for flow_distilled.safetensors"),
     ("three", ["--strength", "0.5"], "--strength is of one --checkpoint, or between two, and here are 3")],
)  # fmt: skip
def test_an_option_that_a_network_does_not_have_is_one_line(sr, weights, flow, photograph, tmp_path, of, options, said):
    names = [flow(of)] if of.startswith("flow") else [weights()] * {"msrresnet": 1, "three": 3}[of]
    done = sr("upscale", photograph, "-o", tmp_path / "out.png", *(x for n in names for x in ("-c", n)), *options)
    assert done.code == 2 and said in done.err and done.err.count("\n") == 1, done.err
    assert not (tmp_path / "out.png").exists()


def test_the_number_of_checkpoints_is_checked_without_torch(tmp_path):
    check_checkpoints([tmp_path] * 3, Options())
    check_checkpoints([tmp_path, tmp_path], Options(strength=0.0))


def test_a_flow_is_exported_as_weights_and_not_as_a_program(sr, flow, tmp_path):
    assert sr("export", flow(), "-o", tmp_path / "again.pth").code == 0
    refused = sr("export", flow(), "-o", tmp_path / "flow.onnx")
    assert refused.code == 2 and "its noise depends on the place in the image" in refused.err
    assert not (tmp_path / "flow.onnx").exists()


def test_the_noise_stays_where_it_is_from_frame_to_frame(sr, flow, tmp_path):
    frame = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    (tmp_path / "frames").mkdir()
    for number in range(3):
        frame.save(tmp_path / "frames" / f"{number}.png")
    assert sr("upscale", tmp_path / "frames", "-o", tmp_path / "large", "-c", flow(), *PLAIN).code == 0
    first, *others = (np.array(Image.open(path)) for path in sorted((tmp_path / "large").iterdir()))
    assert len(others) == 2 and all(np.array_equal(other, first) for other in others)


def test_each_value_is_a_column_of_sr_evaluate(sr, flow, weights, photograph, tmp_path):
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for folder, picture in ((hr, Image.open(photograph)), (lr, Image.open(photograph).resize((20, 15)))):
        folder.mkdir()
        picture.save(folder / "cat.png")
    plain, given = weights("msrresnet", 2), ["--hr", hr, "--lr", lr, "--save", tmp_path]
    done = sr("evaluate", *given, "-c", flow(), "-c", plain, "--steps", "1", "--steps", "3", "--seed", "5")
    assert done.code == 0, done.err
    one, three, _ = (
        np.array(Image.open(tmp_path / name / "cat.png"), np.int32)
        for name in ("flow steps=1 seed=5", "flow steps=3 seed=5", plain.stem)
    )
    generator, _ = load([flow()], Options(steps=3, seed=5))
    expected = Engine(generator, "cpu", "fp32", runtime="torch").upscale(np.array(Image.open(lr / "cat.png")))
    assert np.abs(three - expected).max() <= 1 < np.abs(one - expected).max()
    done = sr("evaluate", *given, "-c", plain, "--steps", "4")
    assert done.code == 2 and "no --checkpoint has --steps: it is for a network of model=flow" in done.err
