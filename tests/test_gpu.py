"""Training and its use on a GPU, a pretended one: nothing is left on the CPU, and nothing is read from the GPU."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.conftest import TINY_GAN, TINY_MODEL, TINY_RUN
from tests.pretend_gpu import NAME, WrongDevice, pretended_gpu

VIDEO_GAN = [*TINY_GAN, "loss/discriminator=tecogan"]


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu(monkeypatch) as mode:
        yield mode


@pytest.fixture
def train_on_gpu(gpu, train, with_weights):
    """Trains, and gives the run folder; perceptual losses and LPIPS have random weights."""

    def run(*overrides, **options):
        folder = train("trainer.accelerator=gpu", *overrides, **options)
        summary = json.loads((folder / "summary.json").read_text())
        assert (summary["state"], summary["device"], summary["left_out"]) == ("finished", f"cuda {NAME}", {})
        return folder

    return run


def test_the_pretended_gpu_refuses_what_a_real_one_would(gpu):
    there, here = torch.ones(1, 1, 4, 4, device="cuda"), torch.ones(1, 1, 4, 4)
    layer = nn.Conv2d(1, 1, 3)
    for wrong in (
        lambda: there + here,
        lambda: layer(there),
        lambda: here[there.bool()],
        lambda: there.numpy(),
        lambda: np.asarray(there),
        lambda: torch.rand(2, generator=torch.Generator(), device="cuda"),
        lambda: here.clone().normal_(generator=torch.Generator("cuda")),
    ):
        with pytest.raises(WrongDevice):
            wrong()
    layer.cuda()
    layer(there * torch.tensor(2.0)).sum().backward()
    assert layer.weight.grad.device.type == there.cpu().to(there).device.type == "cuda"
    assert there.cpu().device.type == here.device.type == "cpu"
    with torch.autocast("cuda", torch.bfloat16):
        assert layer(there).dtype == torch.bfloat16


def test_a_gan_of_images(train_on_gpu):
    train_on_gpu(
        *TINY_GAN,
        "degradation=real_esrgan",
        "degradation.pool=4",
        "loss/perceptual=lpips",
        "loss.terms.perceptual.net=alex",
    )


@pytest.mark.slow
def test_a_gan_of_clips(train_on_gpu):
    train_on_gpu(*VIDEO_GAN, "loss/perceptual=none", "degradation=blur_down", video=True)


@pytest.mark.slow
def test_steps_do_not_wait_for_the_gpu(gpu, train_on_gpu):
    waits = []
    for steps in (20, 60):
        before = gpu.waits
        every = [f"trainer.{key}={steps}" for key in ("max_steps", "val_every", "checkpoint_every")]
        train_on_gpu(*every, "trainer.log_every=20", "degradation=real_esrgan", "degradation.pool=4", name=f"{steps}")
        waits.append(gpu.waits - before)
    assert waits[1] - waits[0] < 10  # for numbers to log, not in each of the 40 steps


def test_use(gpu, sr, weights, tmp_path):
    frames, network = tmp_path / "frames", ["--checkpoint", weights("frvsr", 4), "--device", "cuda"]
    frames.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        Image.fromarray(noise).save(frames / f"{number}.png")
    for command in (
        ("upscale", frames, "-o", tmp_path / "x4", *network, "--runtime", "torch", "--tile", 96),
        ("upscale", frames, "-o", tmp_path / "x4.mp4", "--fps", 25, *network, "--runtime", "torch"),
        ("evaluate", "--hr", frames, *network),
    ):
        done = sr(*command)
        assert done.code == 0 and "cuda" in done.out + done.err, done.err


PLAIN_GAN = [*TINY_GAN, "loss/perceptual=none"]
IMAGES = {
    "srresnet": ["model=srresnet", "loss/pixel=charbonnier", "trainer.precision=32-true"],
    "rrdbnet": [
        *TINY_MODEL["rrdbnet"],
        "trainer.checkpoint_activations=true",
        "logger=wandb",
        "logger.watch=gradients",
    ],
    "classical": ["degradation=classical", "loss/pixel=l1", "trainer.channels_last=false"],
    "tensorboard": ["degradation=blur_down", "logger=tensorboard"],
    **{kind: [*PLAIN_GAN, f"loss/adversarial={kind}"] for kind in ("relativistic", "wgan_gp")},
    **{kind: [*PLAIN_GAN, f"loss/discriminator={kind}"] for kind in ("unet", "patch", "vgg", "multiscale_patch")},
    **{kind: [*PLAIN_GAN, f"optim={kind}"] for kind in ("adan", "muon", "schedule_free_adamw", "soap")},
    "augmented": [
        "+augment=[mixup,cutmix,resizemix,rgb,cutblur]",
        "trainer.max_steps=12",
        "degradation=web",
        "loss/adversarial=hinge",
        *TINY_GAN,
        "loss.discriminator.r1_gamma=0.1",
        "loss.discriminator.norm=none",
    ],
}
CLIPS = {
    "video": ["degradation=video", "trainer.checkpoint_activations=true"],
    "real_esrgan": ["degradation=real_esrgan", "degradation.pool=0", "+metrics@metrics.tlp_alex=tlp_alex"],
    "gan": VIDEO_GAN,
    "frvsr_rrdb": ["model=frvsr_rrdb", "model.srnet.growth=4"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", IMAGES)
def test_every_part_of_a_training_of_images(train_on_gpu, kind):
    train_on_gpu(*IMAGES[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLIPS)
def test_every_part_of_a_training_of_clips(train_on_gpu, kind):
    train_on_gpu(*CLIPS[kind], video=True)


@pytest.mark.slow
def test_what_begins_from_a_run_or_looks_one_over(train_on_gpu, sr):
    folder = train_on_gpu()
    train_on_gpu(f"init_from={folder}", f"val.compare_with={folder}", *TINY_GAN, name="further")
    train_on_gpu(f"resume={folder}", "trainer.max_steps=6")
    checked = sr("doctor", *TINY_MODEL["msrresnet"], *TINY_RUN, "trainer.accelerator=gpu")
    assert checked.code in (0, 1) and "on cuda:0" in checked.out, checked.err
    assert "of 80.0 GiB of the GPU" in checked.out
