"""How much do previous frames help, and how accurate must their flow be? One small network, several flows.

    python benchmarks/recurrence.py --photographs BSDS400 --flow none zero net lucas_kanade true [--steps 800]

A BasicVSR-uni with 5 blocks of 32 features is trained for x4 on blurred and subsampled clips of photographs filmed by a
moving camera with known motion. It is measured on the sample validation clips (12 frames): Y-PSNR, also of the first
frame, which has no previous one, and of the last. `none` is the same network frame by frame, `zero` propagates features
without warping, `net` is FRVSR's flow network trained along with it, `true` the motion of the camera. fp32, one core.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sr_experiments.data.camera import camera_path, true_flow
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.objects import Scene
from sr_experiments.data.sample_video import SampleVideo, SampleVideoValidation
from sr_experiments.generators.basicvsr_uni import BasicVSRUni
from sr_experiments.generators.recurrent import Clip
from sr_experiments.generators.warp import warp
from sr_experiments.losses.pixel import CharbonnierLoss
from sr_experiments.metrics.psnr import PSNR

SCALE, CROP, FRAMES, CLIPS, LEARNING_RATE = 4, 64, 10, 4, 1e-3
FLOWS = ("none", "zero", "net", "lucas_kanade", "true")
charbonnier = CharbonnierLoss(eps=1e-3)
DEGRADATION = DEGRADATIONS["blur_down"](scale=SCALE)


class WithFlow:
    """A network, and the flow that it gets."""

    def __init__(self, flow: str) -> None:
        torch.manual_seed(0)
        memory = {"none": "none", "zero": "unwarped"}.get(flow, "warped")
        estimator = "net" if flow == "net" else "lucas_kanade"
        self.network = BasicVSRUni(features=32, blocks=5, memory=memory, flow=estimator, phase=DEGRADATION.phase)  # type: ignore[arg-type]
        self.knows_motion, self.learns_flow = flow == "true", flow == "net"

    def __call__(self, clip: Tensor, true: Tensor) -> Clip:
        """SR of LR clips (N, T, C, H, W), whose true flow is (N, T - 1, 2, H, W)."""
        if not self.knows_motion:
            return self.network(clip)
        sr, memory = self.network.first_frame(clip[:, 0])
        frames = [sr]
        for t in range(1, clip.shape[1]):
            sr, memory = self.network.next_frame(clip[:, t], memory, true[:, t - 1])
            frames.append(sr)
        return Clip(torch.stack(frames, 1), true)


def main() -> None:
    """Train and measure each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs to train on")
    parser.add_argument("--flow", nargs="+", choices=FLOWS, default=FLOWS)
    parser.add_argument("--steps", type=int, default=800)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training = SampleVideo(CROP, SCALE, root=str(arguments.photographs))
    for flow in arguments.flow:
        start = time.perf_counter()
        network = WithFlow(flow)
        train(network, training, arguments.steps)
        frames = measured(network)
        minutes = (time.perf_counter() - start) / 60
        print(f"{flow}: {frames.mean():.2f} dB, first {frames[0]:.2f}, last {frames[-1]:.2f}, {minutes:.1f} minutes")  # noqa: T201


def train(network: WithFlow, training: SampleVideo, steps: int) -> None:
    """Charbonnier on all frames, with a flow net also on the warped LR frame before."""
    optimizer = torch.optim.Adam(network.network.parameters(), LEARNING_RATE, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2
        clips = [sample(training, step * CLIPS + number) for number in range(CLIPS)]
        hr, true = (torch.stack(parts) for parts in zip(*clips, strict=True))
        random = torch.Generator().manual_seed(step)
        lr = DEGRADATION(hr.flatten(0, 1), random, FRAMES).unflatten(0, (CLIPS, FRAMES))
        sr, flow = network(lr, true)
        loss = charbonnier(sr, hr)
        if network.learns_flow:
            loss = loss + charbonnier(warp(lr[:, :-1].flatten(0, 1), flow.flatten(0, 1)), lr[:, 1:].flatten(0, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def sample(training: SampleVideo, number: int) -> tuple[Tensor, Tensor]:
    """HR clip (T, C, H, W) in [0, 1], and the LR flow of all frames but the first."""
    rng = np.random.default_rng((0, number))
    photograph = training.photographs[int(rng.integers(len(training.photographs)))]
    path = camera_path(rng, FRAMES, CROP, photograph.shape[-2:])
    return Scene(photograph.float() / 255, path, CROP).film().float() / 255, lr_flow(path, CROP)


def lr_flow(path: np.ndarray, size: int) -> Tensor:
    """The true flow in LR pixels, which are every fourth pixel: (T - 1, 2, size / 4, size / 4)."""
    return torch.stack([true_flow(path, t, size)[:, ::SCALE, ::SCALE] / SCALE for t in range(1, len(path))])


@torch.no_grad()
def measured(network: WithFlow) -> np.ndarray:
    """Y-PSNR by frame, mean over the validation clips."""
    psnr, rows, validation = PSNR("y", crop_border=SCALE), [], SampleVideoValidation(SCALE)
    for clip, scene in zip(validation.ranges, validation.scenes, strict=True):
        hr = torch.stack([validation[i]["hr"] for i in clip]).float() / 255
        sr = network(DEGRADATION.validation(hr)[None], lr_flow(scene.path, validation.size)[None]).sr[0].clamp(0, 1)
        rows.append([float(psnr.per_image(s[None], h[None])) for s, h in zip(sr, hr, strict=True)])
    return np.mean(rows, 0)


if __name__ == "__main__":
    main()
