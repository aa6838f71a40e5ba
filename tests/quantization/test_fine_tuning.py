"""`sr quantize --train`: a run of its own whose convolutions compute as in int8, which ends as a file of int8."""

import importlib.util

import pytest
import torch

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.config.resolve import read_config
from sr_experiments.generators import GENERATORS
from sr_experiments.inference.int8 import QuantizedConvolution, steps_of
from sr_experiments.quantization.calibrate import Calibrated
from sr_experiments.quantization.file import read
from sr_experiments.quantization.network import reading_levels, with_quantised_weights
from sr_experiments.training.int8 import fake_quantize

needs_nncf = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs nncf: the extra int8")
LOOSE = ("--images", 8, "--max-drop", 9, "--fidelity", 5)  # of networks that were trained for four steps


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))


def tiny():
    torch.manual_seed(0)
    return GENERATORS["msrresnet"](scale=2, **GENERATORS.small["msrresnet"])


def test_training_computes_what_int8_computes():
    """Beside the imitation that `sr quantize` chooses convolutions with."""
    network, ranges = tiny(), {"conv_first": (0.0, 1.0), "body.0.conv1": (-0.25, 2.3), "conv_last": (-1.0, 1.0)}
    chosen = {}
    for name, (low, high) in ranges.items():
        steps = steps_of(network.get_submodule(name).weight.detach())
        chosen[name] = Calibrated(QuantizedConvolution(low, high, steps), None)
    lr = torch.rand(2, 3, 16, 20)
    imitation = with_quantised_weights(network, chosen)
    with torch.no_grad(), reading_levels(imitation, {name: of.layer for name, of in chosen.items()}):
        expected = imitation(lr)
    before = network(lr)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fake_quantize(network, ranges)
    assert list(network.state_dict()) == list(state)
    sr = network(lr)
    torch.testing.assert_close(sr, expected, atol=1e-5, rtol=0)
    assert (sr - before).abs().max() > 1e-3
    sr.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_fine_tuning_brings_int8_nearer_to_the_float_network():
    """The same steps as of a run, without the run: the error to the float network halves."""
    original, network = tiny().requires_grad_(False), tiny()
    fake_quantize(network, {f"{name}": (-0.5, 0.5) for name in ("body.0.conv1", "body.0.conv2", "upconv1", "conv_hr")})
    optimiser, random = torch.optim.Adam(network.parameters(), 3e-4), torch.Generator().manual_seed(0)
    errors = []
    for _ in range(60):
        lr = torch.rand(4, 3, 16, 16, generator=random)
        error = (network(lr) - original(lr)).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert sum(errors[-10:]) / 10 < errors[0] / 2


@needs_nncf
@pytest.mark.slow
@pytest.mark.parametrize("loss", ["pixel", "gan"])
def test_a_run_is_fine_tuned_resumed_and_written(sr, train, tmp_path, loss, capsys):
    gan = ["loss=gan", "loss.discriminator.features=4", "loss.terms.perceptual.start=100"] if loss == "gan" else []
    run = train("trainer.max_steps=2", *gan)
    file = tmp_path / "int8.safetensors"
    done = sr("quantize", run, "-o", file, "--train", 4, *LOOSE)
    assert done.code == 0, done.err
    assert "int8 before" in done.out and "fp32" in done.out
    facts = read(file).facts
    assert facts["fine_tuned"] and {"fp32", "int8", "int8 before"} <= set(facts["measured"])
    (folder,) = (run.parent.parent / f"{run.parent.name}_int8").iterdir()
    config = read_config(folder)
    assert config["trainer"]["max_steps"] == 4 and "conv_first" in config["int8"]
    assert config["data"] == read_config(run)["data"] and "adversarial" not in config["loss"]["terms"]
    assert (folder / "metrics.csv").is_file()
    assert torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["sr_experiments"]["step"] == 4
    if loss == "pixel":
        train(f"resume={folder}", "trainer.max_steps=6")
        assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["sr_experiments"]["step"] == 6
        again = sr("quantize", folder, "-o", tmp_path / "again.safetensors", *LOOSE)
        assert again.code == 0 and read(tmp_path / "again.safetensors").facts["fine_tuned"], again.err
        refused = sr("quantize", folder, "-o", tmp_path / "no.safetensors", "--train", 4)
        assert refused.code == 2 and "was trained for int8 already" in refused.err


@pytest.mark.slow
def test_a_fine_tuning_that_is_stopped_ends_with_the_same_bits(train, tmp_path):
    from safetensors.torch import save_file

    save_file(
        load_generator(train("trainer.max_steps=2", name="first"))[0].state_dict(), tmp_path / "start.safetensors"
    )
    options = (
        f"init_from={tmp_path / 'start.safetensors'}",
        "+int8={conv_first: [0, 1], body.0.conv1: [-1, 1]}",
        "optim/schedule=constant",
    )
    whole = train(*options, name="whole")
    stopped = train(*options, "trainer.max_steps=2", name="stopped")
    train(f"resume={stopped}", "trainer.max_steps=4")
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (whole, stopped)]
    assert any(name.startswith("float_network.") for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    moved = states[0]["generator.conv_first.weight"] - states[0]["float_network.conv_first.weight"]
    assert moved.abs().max() > 0


def test_training_needs_a_run_of_images(sr, train, weights, tmp_path):
    to = ("-o", tmp_path / "int8.safetensors", "--train", 4)
    done = sr("quantize", weights(), *to)
    assert done.code == 2 and "--train needs a run folder" in done.err and "init_from=" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "ranges, said",
    [
        ("{conv_frist: [0, 1]}", "int8.conv_frist: this network has no such convolution"),
        ("{conv_first: [0.5, 1]}", "int8.conv_first=[0.5, 1] is no range with 0 in it"),
        ("{conv_first: [0]}", "int8"),
    ],
)
def test_mistakes_in_ranges_are_one_line(train, capsys, ranges, said):
    with pytest.raises(SystemExit):
        train(f"+int8={ranges}")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert said in line


def test_networks_of_clips_are_not_fine_tuned(train, capsys):
    with pytest.raises(SystemExit):
        train("+int8={fnet.encoder1.0: [0, 1]}", video=True)
    assert "int8 is set, and only networks of images" in capsys.readouterr().err
