"""Training on degraded data: mixed pairs resume to the bit, losses see the sharpened target, the game sees HR."""

import pytest
import torch

from sr_experiments.data.degradations.pipeline import Pipeline
from sr_experiments.training.module import SRModule
from tests.conftest import TINY_GAN, gan_schedule

REAL = ["degradation=real_esrgan", "degradation.pool=4", "optim/schedule=constant", "data.crop=64"]


def state_of(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_a_run_with_the_pair_pool_resumes_to_the_bit(train):
    whole = state_of(train(*REAL, "trainer.max_steps=6", name="whole"))
    stopped = train(*REAL, "trainer.max_steps=4", name="stopped")
    resumed = state_of(train(f"resume={stopped}", "trainer.max_steps=6", name="stopped"))
    assert whole["pool.filled"] == 4 and whole["pool.hr"].dtype == torch.uint8
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key


def test_losses_see_the_sharpened_target_and_the_discriminator_sees_hr(train, monkeypatch):
    seen = []
    original = SRModule.train_batch

    def train_batch(self, lr, hr, target):
        judged, compared, pixel = [], [], self.objective.terms["pixel"].loss
        hooks = (
            self.discriminator.register_forward_pre_hook(lambda net, images: judged.append(images[0].detach().clone())),
            pixel.register_forward_pre_hook(lambda net, images: compared.append(images[1].detach().clone())),
        )
        scalars = original(self, lr, hr, target)
        for hook in hooks:
            hook.remove()
        seen.append((hr, target, judged, compared))
        return scalars

    monkeypatch.setattr(SRModule, "train_batch", train_batch)
    train(*REAL, *TINY_GAN, *gan_schedule(0, 0), "trainer.max_steps=2")
    for hr, target, judged, compared in seen:
        assert not torch.equal(hr, target)
        assert all(torch.equal(images, target) for images in compared)
        assert any(torch.equal(images, hr) for images in judged)
        assert not any(torch.equal(images, target) for images in judged)


@pytest.mark.parametrize("degradation", ["classical", "video"])
def test_clips_are_degraded_alike_from_frame_to_frame(train, monkeypatch, degradation):
    lengths = []
    original = Pipeline.__call__

    def call(self, hr, generator=None, frames=1):
        lengths.append(frames)
        return original(self, hr, generator, frames)

    monkeypatch.setattr(Pipeline, "__call__", call)
    train(f"degradation={degradation}", video=True)
    assert set(lengths) == {2, 3}  # the lengths of the stages' clips


def test_the_pool_is_refused_for_clips(train, capsys):
    with pytest.raises(SystemExit):
        train("degradation=real_esrgan", video=True)
    assert "set degradation.pool=0" in capsys.readouterr().err
