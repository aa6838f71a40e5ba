"""Networks of ncnn are read as they are run by ncnn; anything else about them is one line."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import read
from sr_experiments.errors import SRError
from sr_experiments.generators.compact import Compact
from sr_experiments.generators.rrdbnet import RRDBNet
from tests.checkpoints import ncnn_files as files


def randomised(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def made(name, half, by_pnnx):
    """A network, and the writer of its files."""
    if name == "compact":
        network = randomised(Compact(scale=3, features=6, convolutions=2))
        return network, files.compact(network, half, by_pnnx)
    network = randomised(RRDBNet(scale=int(name[-1]), features=6, blocks=2, growth=5))
    return network, files.rrdbnet(network, half, by_pnnx)


def in_ncnn(param, lr):
    """What ncnn makes of an image (1, C, H, W), in fp32."""
    ncnn = pytest.importorskip("ncnn")
    with ncnn.Net() as net:
        for name in ("vulkan_compute", "fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{name}", False)
        assert net.load_param(str(param)) == 0 and net.load_model(str(param.with_suffix(".bin"))) == 0
        with net.create_extractor() as extractor:
            extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(lr[0].numpy())).clone())
            return torch.from_numpy(np.array(extractor.extract(net.output_names()[0])[1]))[None]


@pytest.mark.parametrize("by_pnnx", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["compact", "rrdbnet x4", "rrdbnet x2"])
def test_networks_are_read_as_ncnn_runs_them(tmp_path, name, half, by_pnnx):
    network, writer = made(name, half, by_pnnx)
    param = writer.save(tmp_path / "net")
    generator, checkpoint = load_generator(param)
    assert checkpoint.source == f"net.param (ncnn, {name.split()[0]})"
    for key, tensor in network.state_dict().items():
        rounded = tensor.half().float() if half and tensor.ndim == 4 else tensor
        assert torch.equal(generator.state_dict()[key], rounded)
    lr = torch.rand(1, 3, 14, 18)
    with torch.no_grad():
        torch.testing.assert_close(generator(lr), in_ncnn(param, lr), atol=1e-4, rtol=0)
    assert read(tmp_path / "net.bin").generator == checkpoint.generator


@pytest.mark.parametrize("scale", [2, 3])
def test_scales_share_a_bin_and_are_made_by_bicubic_interpolation(sr, tmp_path, scale):
    """As of realesr-animevideov3-x2 and -x3; the reduced network goes on into other formats."""
    network = randomised(Compact(scale=4, features=6, convolutions=2))
    param = files.compact(network, True, reduced=scale / 4).save(tmp_path / f"video-x{scale}")
    generator, _ = load_generator(param)
    lr = torch.rand(1, 3, 13, 17)
    with torch.no_grad():
        sr_image = generator(lr)
    assert sr_image.shape == (1, 3, 13 * scale, 17 * scale)
    torch.testing.assert_close(sr_image, in_ncnn(param, lr), atol=1e-4, rtol=0)
    param.with_suffix(".bin").rename(tmp_path / "video.bin")
    for file in ("again.pth", "again.safetensors"):
        done = sr("export", param, "-o", tmp_path / file)
        assert done.code == 0, done.err
        again, _ = load_generator(tmp_path / file)
        with torch.no_grad():
            assert torch.equal(again(lr), sr_image)


@pytest.mark.slow
def test_commands_take_files_of_ncnn(sr, train, tmp_path):
    torch.manual_seed(1)
    param = files.compact(Compact(scale=2, features=8, convolutions=1)).save(tmp_path / "net-x2")
    Image.fromarray(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)).save(tmp_path / "in.png")
    done = sr("upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "-c", param, "--device", "cpu")
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "out.png").size == (32, 24)
    run = train("model=compact", "model.features=8", "model.convolutions=1", "scale=2", f"init_from={param}",
                "trainer.max_steps=2", "optim.learning_rate=1e-12")  # fmt: skip
    trained = load_generator(run)[0].state_dict()
    torch.testing.assert_close(trained, dict(load_generator(param)[0].state_dict()), atol=1e-6, rtol=0)


REFUSED = {
    "no bin": (lambda f: f.with_suffix(".bin").unlink(), "has no weights: put net.bin beside it"),
    "bin cut short": (lambda f: f.with_suffix(".bin").write_bytes(f.with_suffix(".bin").read_bytes()[:-6]),
                      "net.bin is damaged: it ends before"),
    "bin too long": (lambda f: f.with_suffix(".bin").write_bytes(f.with_suffix(".bin").read_bytes() + bytes(400)),
                     "net.bin is of another network"),
    "param cut short": (lambda f: f.write_text(f.read_text()[:-150]), "net.param is damaged"),
    "int8": (lambda f: f.with_suffix(".bin").write_bytes(b"\x38\x4b\x0d\x00" + f.with_suffix(".bin").read_bytes()[4:]),
             "only weights in fp16 and fp32 are read"),
    "another network": (lambda f: f.write_text(f.read_text().replace("0=1 1=3.0", "0=2 1=3.0")),
                        "another network than RRDBNet or Compact.* 4 Convolution, 3 PReLU"),
    "another layer": (lambda f: f.write_text(f.read_text().replace("PReLU", "Swish")), "3 Swish"),
    "not a number": (lambda f: f.write_text(f.read_text().replace("4=1", "4=nan", 1)), "net.param is damaged"),
    "only a bin": (lambda f: f.unlink(), "weights of ncnn: put the .param"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_the_network_is_refused_in_one_line(tmp_path, kind):
    spoil, says = REFUSED[kind]
    param = made("compact", True, False)[1].save(tmp_path / "net")
    spoil(param)
    with pytest.raises(SRError, match=says) as refused:
        load_generator(param if param.exists() else param.with_suffix(".bin"))
    assert "\n" not in str(refused.value)
