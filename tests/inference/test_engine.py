"""The engine: tiles make no difference, grey and colour fit any network, memory and devices that fail are survived."""

import numpy as np
import pytest
import torch
from torch import nn

from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator
from sr_experiments.inference.device import choose_device
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.tiles import MARGIN
from tests.conftest import others_slow

TINY = {
    "srresnet": {"features": 8, "blocks": 2},
    "msrresnet": {"features": 8, "blocks": 2},
    "rrdbnet": {"features": 16, "blocks": 1, "growth": 4},
    "basicvsr_uni": {"features": 8, "blocks": 2},
    "frvsr": {"srnet": {"name": "resnet", "features": 8, "blocks": 2}},
}


def network(name, seed=0, scale=4, **more):
    torch.manual_seed(seed)
    generator = GENERATORS[name](scale=scale, **{**TINY[name], **more})
    for parameter in generator.parameters():  # so that every layer shows in the result
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    if name == "rrdbnet":  # it adds no enlarged input
        generator.conv_last.weight.data /= 5
        nn.init.constant_(generator.conv_last.bias, 0.5)
    return generator


def photograph(height, width, kind=np.uint8):
    import skimage.data

    image = skimage.data.astronaut()[:height, :width]
    return image if kind == np.uint8 else image.astype(np.uint16) * 257 + 100


class Exact(Generator):
    """A network computed in float64: how a CPU orders the sums of a convolution no longer shows in the pixels."""

    def __init__(self, network):
        super().__init__(network.scale, network.channels)
        self.network = network.double()

    def forward(self, *inputs):
        return self.network(*(x.double() for x in inputs)).float()

    def extract_features(self, lr):
        return self.network.extract_features(lr.double())

    def reconstruct(self, features, lr):
        return self.network.reconstruct(features, lr.double()).float()


def exact(generator):
    if not isinstance(generator, RecurrentGenerator):
        return Exact(generator)
    generator.srnet = Exact(generator.srnet)
    return generator


def whole_and_tiled(generator):
    return (Engine(generator, "cpu", "fp32", tile=tile, runtime="torch") for tile in (None, 96))


@pytest.mark.parametrize("kind", [np.uint8, pytest.param(np.uint16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", others_slow(["srresnet", "frvsr"], TINY))
@pytest.mark.parametrize("scale", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_tiles_give_the_untiled_image_to_the_last_bit(name, scale, kind):
    whole, tiled = whole_and_tiled(exact(network(name, scale=scale)))
    image = photograph(100, 132, kind)
    expected, result = whole.upscale(image), tiled.upscale(image)
    assert result.shape == (100 * scale, 132 * scale, 3) and result.dtype == kind
    assert expected.std() > 0.05 * np.iinfo(kind).max
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", others_slow(["srresnet"], TINY))
def test_in_fp32_tiles_differ_by_no_more_than_rounding(name):
    """Some CPUs add up a convolution's products in another order for images of another size."""
    whole, tiled = whole_and_tiled(network(name))
    image = photograph(130, 181, np.uint16)
    difference = np.abs(whole.upscale(image).astype(int) - tiled.upscale(image))
    assert difference.max() <= 2  # levels of 65535
    assert (difference > 0).mean() < 0.01


@pytest.mark.slow
def test_tiles_of_a_network_that_sees_further_than_their_margins_differ_imperceptibly():
    torch.manual_seed(0)
    generator = GENERATORS["rrdbnet"](scale=4, features=16, growth=8, blocks=23)  # as initialised: receptive field 350
    image = photograph(150, 200)
    whole, tiled = whole_and_tiled(generator)
    assert whole.margin == MARGIN
    difference = np.abs(whole.upscale(image).astype(int) - tiled.upscale(image))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("name", ["unet", "msrresnet"])
def test_tiles_of_a_network_that_averages_over_the_whole_image_are_said_once(name, caplog):
    image = photograph(100, 132)
    for engine in whole_and_tiled(GENERATORS[name](scale=1 if name == "unet" else 2, **GENERATORS.small[name])):
        for _ in range(2):
            engine.upscale(image)
        said = [record for record in caplog.messages if "averages over the whole image" in record]
        assert len(said) == (name == "unet" and engine.tile is not None)


def test_upscaling_is_the_networks_forward_rounded_to_levels():
    generator, image = network("msrresnet"), photograph(20, 31)
    with torch.no_grad():
        sr = generator(torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255)
    expected = sr[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    result = Engine(generator, "cpu", "fp32", runtime="torch").upscale(image)
    assert np.abs(result.astype(int) - expected).max() <= 1  # another memory layout may round otherwise


def test_a_batch_equals_its_images_one_by_one():
    engine = Engine(network("msrresnet"), "cpu", "fp32", runtime="torch")
    images = [photograph(90, 100), photograph(90, 100)[::-1], photograph(90, 100)[:, ::-1]]
    for one, of_batch in zip(images, engine.upscale_batch(images), strict=True):
        np.testing.assert_array_equal(engine.upscale(one), of_batch)


def test_grey_image_through_a_colour_network_is_its_luma():
    engine = Engine(network("msrresnet"), "cpu", "fp32", runtime="torch")
    grey = photograph(16, 20)[..., :1]
    result = engine.upscale(grey)
    colour = engine.upscale(grey.repeat(3, 2)).astype(float)
    np.testing.assert_allclose(result[..., 0], colour @ [0.299, 0.587, 0.114], atol=0.51)


def test_colour_image_through_a_grey_network_keeps_its_colours():
    engine = Engine(network("msrresnet", channels=1), "cpu", "fp32", runtime="torch")
    image = photograph(32, 40)
    result, luma = (
        engine.upscale(image),
        engine.upscale(np.rint(image @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None]),
    )
    inside = ((result > 0) & (result < 255)).all(2)  # not clipped
    np.testing.assert_allclose((result @ [0.299, 0.587, 0.114])[inside], luma[..., 0][inside], atol=1.6)
    bicubic = engine.bicubic(image).astype(int)
    chroma, chroma_bicubic = (x[..., 0].astype(int) - x[..., 2] for x in (result, bicubic))
    np.testing.assert_allclose(chroma[inside], chroma_bicubic[inside], atol=1)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("frvsr", {}),
        ("basicvsr_uni", {}),
        ("basicvsr_uni", {"head": "steps", "phase": "corner"}),
        ("basicvsr_uni", {"memory": "unwarped"}),
        ("basicvsr_uni", {"flow": "lucas_kanade"}),
        ("basicvsr_uni", {"memory": "none"}),
    ],
)
def test_frames_in_order_are_the_generators_own_steps(name, more):
    generator = network(name, **more)
    engine = Engine(generator, "cpu", "fp32", runtime="torch")
    frames = [photograph(40, 48)[i : i + 24, i : i + 32] for i in range(3)]
    clip = torch.stack([torch.from_numpy(f.copy()).permute(2, 0, 1) / 255 for f in frames])[None]
    with torch.no_grad():
        expected = (generator(clip).sr[0].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for frame, sr in zip(frames, expected, strict=True):
        assert np.abs(engine.next_frame(frame).astype(int) - sr).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frvsr", "basicvsr_uni"])
def test_frames_too_large_for_memory_go_through_the_sr_net_in_tiles(name):
    whole, tiled = whole_and_tiled(exact(network(name)))
    seen = []
    srnet = tiled._network.srnet
    tiles = srnet if name == "frvsr" else srnet.extract_features
    work = tiles._modules.pop("network", None) or tiles.network
    tiles.network = lambda part: seen.append(part.shape[-2:]) or work(part)
    for shift in range(3):
        frame = photograph(150, 210)[shift:][:140, shift : shift + 200]
        np.testing.assert_array_equal(tiled.next_frame(frame), whole.next_frame(frame))
    assert max(height * width for height, width in seen) < 140 * 200 / 2


@pytest.mark.parametrize("name", ["frvsr", "basicvsr_uni"])
def test_a_saved_state_goes_on_as_if_nothing_had_been(name):
    generator = network(name)
    frames = [photograph(40, 48)[i : i + 24, i : i + 32] for i in range(4)]
    engine, other = Engine(generator, "cpu", "fp32", runtime="torch"), Engine(generator, "cpu", "fp32", runtime="torch")
    for frame in frames[:2]:
        engine.next_frame(frame)
    other.restore_state(engine.save_state())
    for frame in frames[2:]:
        np.testing.assert_array_equal(engine.next_frame(frame), other.next_frame(frame))
    engine.start_clip()
    assert engine.save_state() is None
    np.testing.assert_array_equal(engine.next_frame(frames[0]), engine.upscale(frames[0]))


class Greedy(Generator):
    """Doubles the size, but has no memory for more than so many pixels."""

    def __init__(self, pixels, error=torch.OutOfMemoryError):
        super().__init__(scale=2, channels=3)
        self.pixels, self.error, self.calls = pixels, error, []

    def forward(self, lr):
        self.calls.append(lr.shape)
        if lr.shape[0] * lr.shape[2] * lr.shape[3] > self.pixels:
            raise self.error("CUDA error: out of memory" if self.error is RuntimeError else "can't allocate memory")
        return lr.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_out_of_memory_makes_the_tiles_smaller(caplog):
    image = photograph(300, 400)
    generator = Greedy(100 * 110)
    result = Engine(generator, "cpu", "fp32", runtime="torch").upscale(image)
    np.testing.assert_array_equal(result, image.repeat(2, 0).repeat(2, 1))
    assert "out of memory on cpu: going on with tiles of" in caplog.text


def test_no_memory_for_the_smallest_tile_is_said():
    with pytest.raises(SRError, match="out of memory even with the smallest tiles"):
        Engine(Greedy(64 * 64), "cpu", "fp32", runtime="torch").upscale(photograph(300, 400))


def test_a_mistake_in_the_network_is_not_taken_for_a_lost_device():
    class Broken(Greedy):
        def forward(self, lr):
            if lr.shape[-1] == 50:
                raise RuntimeError("sizes don't match")
            return super().forward(lr)

    with pytest.raises(RuntimeError, match="sizes don't match"):
        Engine(Broken(10**9), "cpu", "fp32", runtime="torch").upscale(photograph(40, 50))


def test_only_tiles_are_given_to_the_device():
    generator = Greedy(10**9)
    engine = Engine(generator, "cpu", "fp32", tile=96, runtime="torch")
    engine.upscale(photograph(300, 400))
    assert max(shape[2] * shape[3] for shape in generator.calls) < (96 + 16) ** 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_full_precision(precision):
    torch.manual_seed(0)
    generator = GENERATORS["msrresnet"](scale=4, features=16, blocks=4)
    image = photograph(40, 50)
    full, half = (Engine(generator, "cpu", p, runtime="torch").upscale(image).astype(int) for p in ("fp32", precision))
    assert np.abs(full - half).mean() < 0.5


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"device": "cuda:99"}, "--device cuda:99 is not there"),
        ({"device": "toaster"}, "--device toaster is not there"),
        ({"precision": "int3"}, "unknown --precision int3: choose one of auto"),
        ({"tile": 8}, "--tile 8 is too small"),
    ],
)
def test_mistakes_are_one_line(arguments, said):
    with pytest.raises(SRError, match=said) as error:
        Engine(network("msrresnet"), **{"device": "cpu", **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    generator, image = network("msrresnet"), photograph(100, 120)
    on_gpu, on_cpu = (Engine(generator, device, "fp32").upscale(image).astype(int) for device in ("cuda", "cpu"))
    assert np.abs(on_gpu - on_cpu).max() <= 1
    assert choose_device("auto").type == "cuda"


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_lost_device_leaves_the_work_to_the_cpu(monkeypatch, caplog, recurrent):
    """As a GPU would fail: the engine believes it has one, and its network raises what CUDA raises."""
    generator = network("frvsr" if recurrent else "msrresnet")
    engine, healthy = (
        Engine(generator, "cpu", "fp32", tile=96, runtime="torch"),
        Engine(generator, "cpu", "fp32", tile=96, runtime="torch"),
    )
    frames = [photograph(100, 120)[i:][:96, :110] for i in range(3)]
    results = [engine.next_frame(frames[0]) if recurrent else engine.upscale(frames[0])]

    def lost(*arguments, **options):
        raise RuntimeError("CUDA error: unspecified launch failure")

    on_cpu = Engine._tensor
    engine.device = torch.device("cuda")
    monkeypatch.setattr(
        Engine, "_tensor", lambda self, image: lost() if self.device.type == "cuda" else on_cpu(self, image)
    )
    results += [engine.next_frame(frame) if recurrent else engine.upscale(frame) for frame in frames[1:]]
    assert "the device is lost" in caplog.text and "going on on the CPU" in caplog.text
    assert engine.device.type == "cpu"
    for frame, result in zip(frames, results, strict=True):
        np.testing.assert_array_equal(result, healthy.next_frame(frame) if recurrent else healthy.upscale(frame))
