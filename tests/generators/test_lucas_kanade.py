"""Flow without weights: exact on known motion, zero where nothing can be seen, the same at every size."""

import pytest
import torch
import torch.nn.functional as F

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.sample_video import SampleVideoValidation
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.lucas_kanade import LucasKanade
from sr_experiments.generators.warp import warp


@pytest.mark.parametrize("objects", [0, 2])
def test_it_is_exact_to_a_fraction_of_an_lr_pixel_on_sample_clips(objects):
    clips, degradation = SampleVideoValidation(4, frames=3, objects=objects), DEGRADATIONS["bicubic"](scale=4)
    errors, still = [], []
    for clip in clips.ranges:
        hr = torch.stack([clips[i]["hr"] for i in clip]).float() / 255
        true = F.avg_pool2d(torch.stack([clips[i]["flow"] for i in clip[1:]]), 4) / 4
        lr = degradation.validation(hr)
        flow = LucasKanade()(torch.cat((lr[1:], lr[:-1]), 1))
        errors.append((flow - true)[..., 2:-2, 2:-2].norm(dim=1).mean())
        still.append(true[..., 2:-2, 2:-2].norm(dim=1).mean())
    share = torch.stack(errors).mean() / torch.stack(still).mean()
    assert share < (0.25 if objects == 0 else 0.75), "hidden and revealed places have no motion to find"


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, -2), (5, 3)])
def test_whole_pixels_of_motion_are_found(dx, dy):
    torch.manual_seed(0)
    before = F.interpolate(torch.rand(1, 3, 24, 24), size=(96, 96), mode="bicubic")
    now = before.roll((dy, dx), (2, 3))
    flow = LucasKanade()(torch.cat((now, before), 1))
    inner = (..., slice(16, -16), slice(16, -16))
    assert (flow - torch.tensor([-dx, -dy]).view(1, 2, 1, 1))[inner].abs().mean() < 0.1
    assert (warp(before, flow) - now)[inner].abs().mean() < 0.2 * (before - now)[inner].abs().mean()


def test_without_texture_or_change_there_is_no_motion():
    flat = torch.full((1, 6, 24, 40), 0.4)
    frame = torch.rand(1, 3, 24, 40)
    for pair in (flat, torch.cat((frame, frame), 1)):
        assert LucasKanade()(pair).abs().max() < 1e-4
    assert LucasKanade()(torch.cat((frame, 1 - frame), 1)).isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (9, 14), (64, 33)])
def test_networks_take_it_at_any_size_and_in_bf16(size):
    network = GENERATORS["frvsr"](srnet={"name": "resnet", "features": 8, "blocks": 1}, flow="lucas_kanade").eval()
    now, before = torch.rand(2, 1, 3, *size)
    flow = network.flow(now, before)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.flow(now, before), flow)
    assert flow.shape == (1, 2, *size) and not list(network.fnet.parameters())
