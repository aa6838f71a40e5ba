"""Two processes train and validate as one would."""

import json

import pytest
import torch

from tests.conftest import TINY_GAN, TINY_MODEL, TINY_RUN, TINY_VIDEO, TINY_VIDEO_RUN

DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def tiny(*more: str) -> list[str]:
    return [*TINY_MODEL["msrresnet"], *(o for o in TINY_RUN if not o.startswith("trainer.accelerator")), *more]


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(command, train, tmp_path):
    done = command(*DDP, *tiny(), "data.batch_size=2", f"output_dir={tmp_path / 'two'}")
    assert done.returncode == 0, done.stderr[-3000:]
    two = next((tmp_path / "two").glob("*/*"))
    one = train("data.batch_size=4", name="one")
    a, b = (json.loads((f / "summary.json").read_text()) for f in (one, two))
    assert b["processes"] == 2
    weights = [torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (one, two)]
    # Mean of the two halves' gradients = gradient of the whole, up to rounding; validation sees every image once.
    for key in weights[0]:
        torch.testing.assert_close(weights[0][key], weights[1][key], rtol=1e-3, atol=1e-5)
    for key, value in a["final"].items():
        assert b["final"][key] == pytest.approx(value, abs=1e-2 if "psnr" in key else 1e-4)
        if key.endswith("_bicubic"):
            assert b["final"][key] == pytest.approx(value, abs=1e-9)


@pytest.mark.slow
def test_staged_video_gan_in_two_processes_equals_one(command, train, tmp_path):
    video = [o for o in (*TINY_VIDEO, *TINY_VIDEO_RUN) if not o.startswith(("trainer.accelerator", "data.batch_size"))]
    clips = ["++data.val.sample_video.limit=2"]
    options = [*clips, *TINY_GAN, "loss/discriminator=patch", "loss.discriminator.norm=none", "stage.joint.steps=4"]
    done = command(*DDP, *video, *options, "data.batch_size=2", f"output_dir={tmp_path / 'two'}")
    assert done.returncode == 0, done.stderr[-3000:]
    two = next((tmp_path / "two").glob("*/*"))
    one = train(*options, "data.batch_size=4", name="one", video=True)
    a, b = (torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (one, two))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-2, atol=1e-4)
    a, b = (json.loads((f / "summary.json").read_text())["final"] for f in (one, two))
    for key, value in a.items():
        assert b[key] == pytest.approx(value, rel=1e-2), key


def test_sweep_with_in_process_ddp_is_refused(train_py, tmp_path):
    done = train_py("-m", "seed=0,1", *DDP, *tiny(f"output_dir={tmp_path}"))
    assert done.code == 1
    assert "sweep" in done.err
    assert "trainer.devices=2" in done.err
