"""FRVSR against the published counts, an independent forward pass, and known motion."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sr_experiments.checkpoints.initialise import load_weights
from sr_experiments.checkpoints.reading import read
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.errors import SRError
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.fnet import FNet
from sr_experiments.generators.frvsr import FRVSR, space_to_depth
from sr_experiments.generators.upsampling import UPSAMPLING, bicubic_from_corner
from sr_experiments.generators.warp import warp
from sr_experiments.registry import build

SR_NETS = {
    "resnet": {"features": 8, "blocks": 1},
    "msrresnet": {"features": 8, "blocks": 1},
    "srresnet": {"features": 8, "blocks": 1},
    "rrdbnet": {"features": 8, "blocks": 1, "growth": 4},
}


def frvsr(srnet="resnet", **arguments):
    return FRVSR(srnet={"name": srnet, **SR_NETS[srnet]}, **arguments)


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_the_published_ones():
    assert count(FNet()) == 1_745_506
    assert count(FRVSR()) == 2_589_093
    assert count(FRVSR(srnet={"name": "resnet", "features": 128})) == 5_054_693


def test_its_own_sr_net_begins_near_the_enlarged_frame_with_features_of_contrast():
    """Features of brightness, as of torch's initialisation, teach nothing for hundreds of steps."""
    torch.manual_seed(0)
    net = GENERATORS["frvsr"](srnet={"name": "resnet"}).srnet
    grey = torch.rand(1, 3, 1, 1).expand(1, 3, 64, 64).repeat(1, 17, 1, 1)
    picture = torch.rand(1, 51, 64, 64)
    with torch.no_grad():
        flat, lively = (net.extract_features(x)[..., 24:-24, 24:-24] for x in (grey, picture))
        assert flat.abs().max() < 1e-4 and lively.std() > 0.3
        enlarged = UPSAMPLING["centred"](picture[:, :3], 4)
        assert 0 < (net(picture) - enlarged).std() < enlarged.std()


@pytest.mark.parametrize("srnet", SR_NETS)
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("phase", ["centred", "corner"])
def test_clips_of_any_size_and_streams_give_the_same_frames(srnet, scale, phase):
    torch.manual_seed(0)
    generator = frvsr(srnet, scale=scale, phase=phase).eval()
    clip = torch.rand(2, 4, 3, 9, 14)  # neither side a multiple of 8
    with torch.no_grad():
        sr, flow = generator(clip)
        assert sr.shape == (2, 4, 3, 9 * scale, 14 * scale)
        assert flow.shape == (2, 3, 2, 9, 14)
        state = None
        for t in range(4):
            frame, state = generator.step(clip[:, t], state)
            assert torch.equal(frame, sr[:, t])


def test_a_frame_depends_on_those_before_it_and_not_on_those_after():
    torch.manual_seed(0)
    generator = frvsr().eval()
    clip = torch.rand(1, 4, 3, 8, 8)
    changed = clip.clone()
    changed[:, 2] = 0
    with torch.no_grad():
        before, after = generator(clip).sr, generator(changed).sr
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 3], after[:, 3])


def test_gradients_reach_both_networks_through_all_frames():
    generator = frvsr()
    clip = torch.rand(1, 3, 3, 8, 8, requires_grad=True)
    generator(clip).sr[:, -1].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())
    assert clip.grad[:, 0].abs().sum() > 0


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, 2), (-4, 1)])
def test_warp_samples_the_previous_frame_where_the_flow_points(dx, dy):
    """Content that moved right by 3 pixels has a flow of dx = -3."""
    image = torch.rand(1, 3, 16, 20)
    moved = torch.roll(image, (dy, dx), (2, 3))
    flow = torch.tensor([-dx, -dy], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, 16, 20)
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(warp(image, flow)[inner], moved[inner])


def test_warp_is_bilinear_and_clamped_to_the_image():
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    half = torch.zeros(1, 2, 8, 8)
    half[:, 0] = 0.5
    torch.testing.assert_close(warp(ramp, half)[0, 0, 3], torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.0]))
    assert torch.equal(warp(ramp, 100 * half)[..., 0], torch.full((1, 1, 8), 7.0))


def test_space_to_depth_has_the_order_of_tensorflow():
    scale, channels = 4, 3
    image = torch.arange(2 * channels * 8 * 12, dtype=torch.float32).view(2, channels, 8, 12)
    depth = space_to_depth(image, scale)
    assert depth.shape == (2, 48, 2, 3)
    for sy, sx, c in [(0, 0, 0), (1, 0, 0), (0, 1, 2), (3, 2, 1)]:
        assert torch.equal(depth[:, (sy * scale + sx) * channels + c], image[:, c, sy::scale, sx::scale])
    # Not the order of nn.PixelUnshuffle, which has the same shape.
    assert not torch.equal(depth, F.pixel_unshuffle(image, scale))


def test_padding_the_frames_keeps_the_flow_of_whole_ones():
    torch.manual_seed(0)
    generator = frvsr().eval()
    now, before = torch.rand(2, 1, 3, 16, 24)
    with torch.no_grad():
        whole = generator.flow(now, before)
        assert torch.equal(whole, generator.fnet(torch.cat((now, before), 1)))
        assert generator.flow(now[..., :13, :17], before[..., :13, :17]).shape == (1, 2, 13, 17)


@pytest.mark.parametrize("phase", UPSAMPLING)
def test_enlarging_undoes_the_shift_of_the_degradation_of_that_phase(phase):
    name = {"centred": "bicubic", "corner": "blur_down"}[phase]
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    ramp = ((2 * x + y) / 255).expand(1, 3, 64, 64)
    lr = DEGRADATIONS[name](scale=4).validation(ramp)
    inner = (..., slice(16, -16), slice(16, -16))
    assert (UPSAMPLING[phase](lr, 4) - ramp)[inner].abs().max() < 0.6 / 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 3}, "scale=3"),
        ({"phase": "left"}, "its phase is 'left'"),
        ({"srnet": {"name": "swin"}}, "srnet.name is 'swin'"),
        ({"srnet": {"name": "resnet", "block": 3}}, "did you mean blocks"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, message):
    with pytest.raises(SRError, match=message):
        build("generator", GENERATORS, {"name": "frvsr", **arguments})


# -- TecoGAN-PyTorch's FRNet, written from its published layout ---------------------------------------------------


def tecogan_state(features=8, blocks=2, bd=True):
    """A state dict with FRNet's names and shapes."""
    rng = torch.Generator().manual_seed(0)
    state = {}

    def conv(name, inside, outside, transposed=False):
        shape = (inside, outside, 3, 3) if transposed else (outside, inside, 3, 3)
        state[f"{name}.weight"] = torch.randn(shape, generator=rng) / (3 * inside**0.5)
        state[f"{name}.bias"] = torch.randn(outside, generator=rng) * 0.1

    for name, inside, outside in (
        ("encoder1", 6, 32),
        ("encoder2", 32, 64),
        ("encoder3", 64, 128),
        ("decoder1", 128, 256),
        ("decoder2", 256, 128),
        ("decoder3", 128, 64),
    ):
        conv(f"fnet.{name}.0", inside, outside)
        conv(f"fnet.{name}.2", outside, outside)
    conv("fnet.flow.0", 64, 32)
    conv("fnet.flow.2", 32, 2)
    conv("srnet.conv_in.0", 51, features)
    for i in range(blocks):
        conv(f"srnet.resblocks.{i}.conv.0", features, features)
        conv(f"srnet.resblocks.{i}.conv.2", features, features)
    conv("srnet.conv_up.0", features, features, transposed=True)
    conv("srnet.conv_up.2", features, features, transposed=True)
    conv("srnet.conv_out", features, 3)
    if bd:
        state["upsample_func.kernels"] = torch.zeros(4, 4)
        state["srnet.upsample_func.kernels"] = torch.zeros(4, 4)
    return state


def reference_frames(state, clip, bd):
    """FRNet's forward pass in plain functions and NumPy gathers, frame by frame."""

    def conv(x, name):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)

    def up(x):
        if not bd:
            return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)

        # Keys' cubic convolution with a = -0.75 at y / 4, edges repeated.
        def along(values, axis):
            n = values.shape[axis]
            out = []
            for i in range(4 * n):
                base, t = divmod(i, 4)
                d = [t / 4 + 1, t / 4, 1 - t / 4, 2 - t / 4]
                a = -0.75
                w = [(a + 2) * u**3 - (a + 3) * u**2 + 1 if u <= 1 else a * (u**3 - 5 * u**2 + 8 * u - 4) for u in d]
                at = np.clip([base - 1, base, base + 1, base + 2], 0, n - 1)
                out.append(sum(w[k] * np.take(values, at[k], axis) for k in range(4)))
            return np.stack(out, axis)

        return torch.from_numpy(along(along(x.numpy().astype(np.float64), 2), 3)).float()

    def fnet(x):
        for name in ("encoder1", "encoder2", "encoder3"):
            x = F.leaky_relu(conv(F.leaky_relu(conv(x, f"fnet.{name}.0"), 0.2), f"fnet.{name}.2"), 0.2)
            x = F.max_pool2d(x, 2)
        for name in ("decoder1", "decoder2", "decoder3"):
            x = F.leaky_relu(conv(F.leaky_relu(conv(x, f"fnet.{name}.0"), 0.2), f"fnet.{name}.2"), 0.2)
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return 24 * torch.tanh(conv(F.leaky_relu(conv(x, "fnet.flow.0"), 0.2), "fnet.flow.2"))

    def srnet(lr, depth):
        x = F.relu(conv(torch.cat((lr, depth), 1), "srnet.conv_in.0"))
        i = 0
        while f"srnet.resblocks.{i}.conv.0.weight" in state:
            x = x + conv(F.relu(conv(x, f"srnet.resblocks.{i}.conv.0")), f"srnet.resblocks.{i}.conv.2")
            i += 1
        for name in ("srnet.conv_up.0", "srnet.conv_up.2"):
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            x = F.relu(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1))
        return conv(x, "srnet.conv_out") + up(lr)

    def gather(image, flow):
        """Bilinear sampling with clamped coordinates, in NumPy."""
        h, w = image.shape[1:]
        ys, xs = np.mgrid[:h, :w]
        y, x = np.clip(ys + flow[1], 0, h - 1), np.clip(xs + flow[0], 0, w - 1)
        y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
        y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
        fy, fx = y - y0, x - x0
        top = image[:, y0, x0] * (1 - fx) + image[:, y0, x1] * fx
        bottom = image[:, y1, x0] * (1 - fx) + image[:, y1, x1] * fx
        return top * (1 - fy) + bottom * fy

    frames = []
    for t in range(clip.shape[1]):
        lr = clip[:, t]
        depth = torch.zeros(1, 48, *lr.shape[2:])
        if t > 0:
            flow = 4 * up(fnet(torch.cat((lr, clip[:, t - 1]), 1)))
            warped = gather(frames[-1][0].numpy().astype(np.float64), flow[0].numpy().astype(np.float64))
            # tf.space_to_depth: sub-row, sub-column, channel.
            depth = torch.from_numpy(
                np.stack([warped[c, sy::4, sx::4] for sy in range(4) for sx in range(4) for c in range(3)])
            ).float()[None]
        frames.append(srnet(lr, depth))
    return torch.stack(frames, 1)


@pytest.mark.parametrize("bd", [True, False])
@pytest.mark.parametrize("wrapped", [False, True])
def test_tecogan_checkpoints_load_and_give_the_same_frames(tmp_path, bd, wrapped):
    state = tecogan_state(bd=bd)
    path = tmp_path / "FRVSR_iter400000.pth"
    torch.save({"state_dict": state} if wrapped else state, path)
    checkpoint = read(path)
    assert checkpoint.generator == {
        "name": "frvsr",
        "scale": 4,
        "channels": 3,
        "srnet": {"name": "resnet", "features": 8, "blocks": 2},
        "phase": "corner" if bd else "centred",
    }
    generator = build("generator", GENERATORS, checkpoint.generator).eval()
    report = load_weights(generator, checkpoint)
    assert not report.missing and not report.mismatched
    clip = torch.rand(1, 3, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(generator(clip).sr, reference_frames(state, clip, bd), atol=2e-5, rtol=1e-5)


def test_weights_for_the_other_phase_are_refused(tmp_path):
    torch.save(tecogan_state(bd=True), tmp_path / "bd.pth")
    with pytest.raises(SRError, match="degradation=blur_down"):
        load_weights(frvsr(phase="centred"), read(tmp_path / "bd.pth"))


def test_bicubic_from_corner_keeps_the_pixels_it_starts_from():
    image = torch.rand(1, 3, 6, 7)
    assert torch.allclose(bicubic_from_corner(image, 4)[..., ::4, ::4], image, atol=1e-6)


@pytest.mark.parametrize("phase", UPSAMPLING)
def test_frames_are_enlarged_in_fp32_under_autocast(phase):
    """Else they would be up to two levels of 255 off, and the network could only round its output."""
    image = torch.rand(1, 3, 6, 7)
    with torch.autocast("cpu", torch.bfloat16):
        enlarged = UPSAMPLING[phase](image, 4)
    assert torch.equal(enlarged, UPSAMPLING[phase](image, 4))


# -- parts from elsewhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("srnet", ["msrresnet", "srresnet", "rrdbnet"])
@pytest.mark.parametrize("scale", [2, 4])
def test_an_image_network_as_sr_net_begins_as_frame_by_frame(tmp_path, srnet, scale):
    torch.manual_seed(0)
    image: nn.Module = build("generator", GENERATORS, {"name": srnet, **SR_NETS[srnet], "scale": scale}).eval()
    torch.save({"params_ema": image.state_dict()}, tmp_path / "image.pth")
    generator = frvsr(srnet, scale=scale).eval()
    report = load_weights(generator, read(tmp_path / "image.pth"))
    assert len(report.matched) == len(image.state_dict())
    clip = torch.rand(1, 3, 3, 8, 8)
    with torch.no_grad():
        sr = generator(clip).sr
        for t in range(3):
            torch.testing.assert_close(sr[:, t], image(clip[:, t]))


def test_the_flow_net_alone_from_another_run(tmp_path):
    torch.manual_seed(0)
    first, second = frvsr(), frvsr("rrdbnet")
    torch.save(first.state_dict(), tmp_path / "first.pth")
    before = {k: v.clone() for k, v in second.srnet.state_dict().items()}
    load_weights(second, read(tmp_path / "first.pth"), "fnet")
    for key, value in second.fnet.state_dict().items():
        assert torch.equal(value, first.fnet.state_dict()[key])
    assert all(torch.equal(v, before[k]) for k, v in second.srnet.state_dict().items())


def test_an_unfitting_sr_net_is_refused_with_what_differs(tmp_path):
    image = build("generator", GENERATORS, {"name": "rrdbnet", **SR_NETS["rrdbnet"]})
    torch.save(image.state_dict(), tmp_path / "rrdb.pth")
    with pytest.raises(SRError, match="rrdbnet"):
        load_weights(frvsr("msrresnet"), read(tmp_path / "rrdb.pth"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_flow_that_is_not_finite_shows_and_harms_nothing(value):
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    flow = torch.zeros(2, 2, 32, 32)
    flow[0, 1, 5, 7] = value
    flow.requires_grad_()
    warped = warp(image, flow)
    assert not warped[0, :, 5, 7].isfinite().any()
    assert torch.equal(warped.isfinite().sum(), torch.tensor(warped.numel() - 3))
    warped.sum().backward()  # it used to write outside of the image: a segmentation fault
    assert torch.equal(warped[1], image[1])
