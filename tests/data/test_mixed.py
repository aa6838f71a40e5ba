"""A mix of real pairs and HR images whose LR is generated."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import default_collate

from sr_experiments.data.mixed import MixedFolders
from sr_experiments.data.module import SRDataModule
from sr_experiments.data.resize import imresize
from sr_experiments.doctor.examine import examine
from sr_experiments.errors import SRError
from sr_experiments.training.assemble import assemble
from tests.conftest import TINY_MODEL, composed
from tests.same_runs import assert_same, state

SIDE, SCALE = 64, 4
RED = np.array([255, 0, 0], np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Three pairs whose LR is red, and five HR images; those of `hr` are dark, those of `root` bright."""
    rng = np.random.default_rng(0)
    for kind, names, low in (("hr", "abc", 0), ("root", "vwxyz", 128)):
        (tmp_path / kind).mkdir()
        for name in names:
            pixels = rng.integers(low, low + 128, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")
    (tmp_path / "lr").mkdir()
    for name in "abc":
        Image.fromarray(np.tile(RED, (SIDE // SCALE, SIDE // SCALE, 1))).save(tmp_path / "lr" / f"{name}.png")
    return {kind: str(tmp_path / kind) for kind in ("hr", "lr", "root")}


def overrides(folders):
    return ["data=mixed", *(f"data.train.{kind}={folder}" for kind, folder in folders.items())]


def assembled(folders, *more):
    tiny = [*TINY_MODEL["msrresnet"], "data.crop=32", "data.batch_size=8", "~metrics.lpips_alex", *more]
    with composed([*overrides(folders), *tiny]) as (config, _):
        return assemble(config)


def mixed(folders, **arguments):
    return MixedFolders(**folders, crop=32, scale=SCALE, seed=7, **arguments)


def test_a_sample_is_of_a_pair_with_the_probability_and_depends_on_its_number_alone(folders):
    data = mixed(folders, probability=0.3)
    samples = [data[n] for n in range(400)]
    again = pickle.loads(pickle.dumps(mixed(folders, probability=0.3)))  # as in a worker process
    for n in (399, 7, 200, 0):
        assert all(torch.equal(again[n][key], samples[n][key]) for key in samples[n])
    assert default_collate(samples)["paired"].float().mean() == pytest.approx(0.3, abs=0.07)
    for sample in samples:
        assert sample["hr"].float().mean().lt(128) == sample["paired"]
        assert torch.equal(sample["lr"], torch.tensor(RED * bool(sample["paired"]))[:, None, None].expand(3, 8, 8))
    origins = {(data[n], data.origin)[1].rsplit("/", 1)[1] for n in range(60)}
    assert origins == {f"{name}.png" for name in "abcvwxyz"}
    for probability in (0, 1):
        only = mixed(folders, probability=probability)
        assert {bool(only[n]["paired"]) for n in range(30)} == {bool(probability)}


def test_unreadable_images_are_replaced_by_some_of_their_own_kind(folders, tmp_path):
    (tmp_path / "hr" / "a.png").write_bytes(b"no picture")
    with pytest.raises(SRError, match=r"a\.png"):
        mixed(folders)
    data = mixed(folders, on_error="skip", probability=1.0)
    skipped = [int(data[n]["skipped"]) for n in range(6)]
    assert sorted(skipped) == [-1] * 4 + [0] * 2
    assert all(data[n]["paired"] for n in range(6))


def test_pairs_are_held_out(folders):
    data = SRDataModule({"name": "mixed", **folders}, crop=32, scale=SCALE, val_share=0.3)
    (held,) = (data.val_sets["held_out"][i] for i in range(len(data.val_sets["held_out"])))
    assert held["lr"].shape == (3, 16, 16) and len(data.train_set.paths) == 7
    origins = {(data.train_set[n], data.train_set.origin)[1] for n in range(60)}
    assert len(origins) == 7 and not any(origin.endswith(f"hr/{held['name']}.png") for origin in origins)


def test_a_batch_keeps_real_lr_and_generates_the_other(folders):
    assembly = assembled(folders, "degradation=real_esrgan", "degradation.pool=6", "degradation.usm=true")
    module, sharpened = assembly.module, 0
    for step in range(3):  # more than the pool holds
        batch, _ = assembly.data.batch_of(step)
        lr, hr, target = module.pair_of(batch, step)
        again = batch["paired"]
        assert 0 < again.sum() < 8
        assert torch.equal(lr[again], batch["lr"][again] / 255)
        assert torch.equal(hr[again], batch["hr"][again] / 255) and torch.equal(target[again], hr[again])
        assert (hr[~again].mean((1, 2, 3)) > 0.5).all(), "the pool has no pairs of the folder"
        assert (lr[~again].mean((2, 3)).amin(1) > 0.3).all(), "no red, and no zeros"
        sharpened += (target[~again] != hr[~again]).any().item()
    assert sharpened == 3


def test_generated_lr_is_that_of_the_same_image_alone(folders):
    assembly = assembled(folders)
    batch, _ = assembly.data.batch_of(0)
    lr, hr, _ = assembly.module.pair_of(batch, 0)
    for one in (~batch["paired"]).nonzero().flatten().tolist():
        torch.testing.assert_close(lr[one], imresize(hr[one : one + 1], 1 / SCALE)[0])


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_bits(folders, train):
    options = [*overrides(folders), "degradation=classical", "data.batch_size=3", "optim/schedule=constant"]
    options += ["callbacks.samples.count=0", "trainer.val_every=4"]
    whole = train(*options, "trainer.max_steps=4", name="whole")
    part = train(*options, "trainer.max_steps=2", name="part")
    train(f"resume={part}", "trainer.max_steps=4")
    assert_same(state(part), state(whole))


def test_the_doctor_checks_pairs_and_images(folders):
    from rich.console import Console

    tiny = [*TINY_MODEL["msrresnet"], "data.crop=32", "data.batch_size=2", "data.num_workers=0", "data.val_share=0"]
    found = {f.check: f for f in examine([*overrides(folders), *tiny], 100, 2, Console(quiet=True))}
    assert "8 images can be read" in found["images"].found
    assert found["colours"].status == "fail", "LR is red"
