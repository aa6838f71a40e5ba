"""The sample run, shortened to a minute or two, reaches what it reached before; one with a broken loss doesn't."""

import pytest

from sr_experiments.training.module import SRModule
from tests.test_train_command import metrics_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

RUN = [
    "model=msrresnet",
    "model.blocks=4",
    "model.features=32",
    "data.crop=64",
    "data.batch_size=8",
    "optim.learning_rate=1e-3",
    "trainer.max_steps=300",
    "trainer.val_every=300",
    "trainer.checkpoint_every=300",
    "++data.val.sample.limit=4",
    "++data.val.sample.size=256",
]


def gains(folder):
    """Of the last validation over bicubic: PSNR on Y in dB, SSIM on Y."""
    values = metrics_of(folder)
    return tuple(
        values[f"val/sample/{metric}"][300] - values[f"val/sample/{metric}_bicubic"][300]
        for metric in ("psnr_y", "ssim_y")
    )


# Seeds 0 to 3 gave 0.85, 0.93, 0.82 and 0.88 dB, and 0.023, 0.025, 0.020 and 0.024.
BANDS = ((0.6, 1.1), (0.014, 0.030))


def within(folder):
    return all(low < gain < high for gain, (low, high) in zip(gains(folder), BANDS, strict=True))


def test_the_sample_run_reaches_what_it_reached_before(train):
    folder = train(*RUN)
    assert within(folder), gains(folder)


def test_with_a_target_that_is_one_pixel_off_it_does_not(train, monkeypatch):
    original = SRModule.train_batch
    monkeypatch.setattr(
        SRModule, "train_batch", lambda self, lr, hr, target: original(self, lr, hr, target.roll(1, -1))
    )
    folder = train(*RUN)
    assert not within(folder), gains(folder)


def test_with_a_rate_that_is_far_too_low_it_does_not(train):
    folder = train(*RUN, "optim.learning_rate=1e-5")
    assert not within(folder), gains(folder)


def test_with_the_wrong_sign_it_explodes(train, capsys, monkeypatch):
    original = SRModule.train_batch

    def wrong(self, lr, hr, target):
        self.objective.weights["pixel"] = -1.0
        return original(self, lr, hr, target)

    monkeypatch.setattr(SRModule, "train_batch", wrong)
    with pytest.raises(SystemExit):
        train(*RUN)
    assert "became" in capsys.readouterr().err
