"""Augmentations of batches: each against its formula in NumPy, LR and HR in step, seeded, clips as a whole."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sr_experiments.data.augments import AUGMENTS, Augments
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.resize import imresize
from sr_experiments.errors import SRError
from sr_experiments.registry import build
from sr_experiments.training.assemble import assemble
from tests.conftest import TINY_MODEL, composed
from tests.same_runs import assert_same, state
from tests.test_train_command import metrics_of

SCALE, LOW, HIGH = 4, 12, 48


@pytest.fixture
def pair():
    """LR of 3 clips of 2 frames, each LR pixel a square of HR: what is in step stays so."""
    lr = torch.rand(3, 2, 3, LOW, LOW, generator=torch.Generator().manual_seed(1))
    return lr, lr.repeat_interleave(SCALE, -1).repeat_interleave(SCALE, -2)


def applied(name, pair, seed=0, **options):
    return build("augmentation", AUGMENTS, {"name": name, **options})(*pair, torch.Generator().manual_seed(seed))


def seed_that_exchanges_two():
    return next(s for s in range(9) if torch.randperm(2, generator=torch.Generator().manual_seed(s))[0] == 1)


def assert_in_step(lr, hr):
    np.testing.assert_allclose(F.avg_pool2d(hr.flatten(0, 1), SCALE).numpy(), lr.flatten(0, 1).numpy(), atol=1e-6)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "rgb", "blend"])
def test_lr_and_hr_are_changed_in_step_and_the_pair_stays_as_it_is(name, pair):
    before, first = [images.clone() for images in pair], applied(name, pair)
    assert torch.equal(applied(name, pair)[1], first[1])
    others = [applied(name, pair, seed) for seed in range(5)]
    for lr, hr in others:
        assert_in_step(lr, hr)
    assert all(any(not torch.equal(lr, x) for lr, _ in others) for x in (pair[0], first[0]))
    assert all(torch.equal(a, b) for a, b in zip(pair, before, strict=True))


def test_mixup_is_one_weighted_mean_for_all_frames_of_a_clip(pair):
    lr, _ = applied("mixup", pair, seed=2)
    order = torch.randperm(3, generator=torch.Generator().manual_seed(2)).tolist()
    weights = set()
    for clip, other in enumerate(order):
        if clip == other:
            assert torch.allclose(lr[clip], pair[0][clip])
            continue
        a, b = (pair[0][i].numpy() for i in (clip, other))
        share = (lr[clip].numpy() - b) / (a - b)
        assert np.ptp(share[abs(a - b) > 0.1]) < 1e-4
        weights.add(round(float(np.median(share)), 4))
    assert len(weights) == 1 and 0 < weights.pop() < 1


def test_cutmix_puts_a_box_of_another_clip_where_it_says(pair):
    lr, _ = applied("cutmix", pair, seed=3, share=0.5)
    for clip, order in enumerate(torch.randperm(3, generator=torch.Generator().manual_seed(3)).tolist()):
        changed = (lr[clip] != pair[0][clip]).any(1)  # (T, H, W)
        if clip == order:
            continue  # a box of its own from elsewhere
        rows, columns = (np.flatnonzero(changed[0].any(axis).numpy()) for axis in (1, 0))
        assert len(rows) == len(columns) == rows[-1] - rows[0] + 1 and len(rows) in (5, 6)
        assert changed[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all() and torch.equal(*changed)
        box = lr[clip][..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        windows = pair[0][order].unfold(-2, len(rows), 1).unfold(-2, len(columns), 1)  # (T, C, y, x, h, w)
        assert (windows == box[:, :, None, None]).all((0, 1, 4, 5)).sum() == 1


def test_resizemix_puts_a_whole_smaller_image_into_another():
    """Against Pillow, whose antialiased bicubic kernel PyTorch follows."""
    lr = torch.rand(2, 1, 3, LOW, LOW, generator=torch.Generator().manual_seed(0))
    hr = F.interpolate(lr.flatten(0, 1), scale_factor=SCALE, mode="bilinear").unflatten(0, (2, 1))
    new_lr, new_hr = applied("resizemix", (lr, hr), seed_that_exchanges_two(), share=[0.5, 0.5])
    changed = (new_hr[0, 0] != hr[0, 0]).any(0)
    rows, columns = (np.flatnonzero(changed.any(axis).numpy()) for axis in (1, 0))
    assert len(rows) == len(columns) == HIGH // 2 and rows[0] % SCALE == columns[0] % SCALE == 0
    part = new_hr[0, 0, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    for channel in range(3):
        picture = Image.fromarray(hr[1, 0, channel].numpy()).resize((HIGH // 2, HIGH // 2), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(part[channel].numpy(), np.asarray(picture).clip(0, 1), atol=1e-5)
    of_lr = (new_lr[0, 0] != lr[0, 0]).any(0)
    assert np.flatnonzero(of_lr.any(1).numpy())[0] == rows[0] // SCALE and of_lr.sum() == (LOW // 2) ** 2


@pytest.mark.parametrize("degradation", ["bicubic", "blur_down"])
def test_resizemix_keeps_lr_on_hr_in_both_phases(degradation):
    """The box of LR is what the degradation makes of the box of HR, of pictures that are too smooth to be blurred."""
    y, x = torch.meshgrid(torch.arange(2.0 * HIGH), torch.arange(2.0 * HIGH), indexing="ij")
    wave = (torch.sin(x / 18) * torch.sin(y / 22) + 1) / 2
    hr = torch.stack((wave, 1 - wave))[:, None].expand(-1, 3, -1, -1)
    make_lr = DEGRADATIONS[degradation](SCALE)
    make_lr.bits = "float"
    lr = make_lr.validation(hr)
    rng = torch.Generator().manual_seed(seed_that_exchanges_two())
    augments = Augments({"resizemix": {"probability": 1, "name": "resizemix", "share": [0.5, 0.5]}}, make_lr.phase)
    new_lr, new_hr = augments.apply("resizemix", lr, hr, rng)
    rows, columns = ((new_lr != lr)[0, 0].any(axis).nonzero()[2:-2, 0] for axis in (1, 0))  # without its border
    box = (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    assert len(rows) == LOW - 4
    assert (new_lr - make_lr.validation(new_hr))[box].abs().max() < 0.012


@pytest.mark.parametrize("scale", [1, 4])
def test_cutblur_cleans_a_box_or_all_but_a_box(scale):
    rng = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (1, 2, 3, scale * LOW, scale * LOW), generator=rng) / 255
    clean = imresize(hr[0], 1 / scale)[None] if scale > 1 else hr
    lr, shares = (clean + 0.5) / 2, []
    for seed in range(8):
        new_lr, new_hr = applied("cutblur", (lr, hr), seed, share=0.5)
        assert new_hr is hr
        cleaned = (new_lr == clean).all(2)[0]
        assert torch.equal(*cleaned) and ((new_lr == lr) | (new_lr == clean)).all()
        shares.append(round(float(cleaned.float().mean()), 2))
    assert {share > 0.5 for share in shares} == {True, False}
    assert all(0.17 <= min(share, 1 - share) <= 0.26 for share in shares)


def test_cutblur_puts_in_what_sr_is_to_look_like():
    """With sharpened targets: a network that was shown clean HR would learn to sharpen what needs no restoration."""
    degraded = ["scale=1", "degradation=real_esrgan", "degradation.pool=0", "data.batch_size=4", "~metrics.lpips_alex"]
    cutblur = ["+augment=cutblur", "augment.cutblur.probability=1"]
    with composed([*TINY_MODEL["unet"], *degraded, *cutblur]) as (config, _):
        assembly = assemble(config)
    for step in range(3):
        lr, hr, target = assembly.module.pair_of(assembly.data.batch_of(step)[0], step)
        clean = ((lr - target).abs() < 0.6 / 255).all(1).float().mean((1, 2))  # LR is rounded
        assert clean.min() > 0.4 and ((hr - target).abs() > 0.6 / 255).any(1).float().mean() > 0.2


@pytest.mark.parametrize("name", ["cutmix", "resizemix"])
def test_sharpened_targets_are_mixed_as_they_are(name):
    """Where boxes meet, LR isn't sharpened either."""
    degraded = ["degradation=real_esrgan", "degradation.pool=0", "data.batch_size=4", "data.crop=64"]
    made = []
    for more in ([], [f"+augment={name}", f"augment.{name}.probability=1"]):
        with composed([*TINY_MODEL["msrresnet"], *degraded, "~metrics.lpips_alex", *more]) as (config, _):
            assembly = assemble(config)
        made.append(assembly.module.pair_of(assembly.data.batch_of(0)[0], 0))
    (_, hr, target), (_, new_hr, new_target) = made
    kept = (new_hr == hr).all(1)
    assert 0.1 < kept.float().mean() < 0.99 and not torch.equal(target, hr)
    other = ((new_target - target).abs().amax(1) > 1e-5)[kept].float().mean()
    assert other < 0.01  # some pixels of a box are those that were there


def test_rgb_permutes_channels_and_blend_adds_a_colour(pair):
    orders = set()
    for seed in range(20):
        channels = applied("rgb", pair, seed)[0][0, 0]
        orders.add(tuple(int((channel == pair[0][0, 0]).flatten(1).all(1).nonzero()) for channel in channels))
    assert len(orders) > 3 and all(sorted(order) == [0, 1, 2] for order in orders)
    lr, _ = applied("blend", pair, least=0.6)
    slope = np.ptp(lr[1, :, 2].numpy()) / np.ptp(pair[0][1, :, 2].numpy())
    offsets = (lr - slope * pair[0])[:, 0].flatten(2)
    assert 0.6 <= slope <= 1 and float((offsets.amax(2) - offsets.amin(2)).max()) < 1e-5
    assert ((offsets[..., 0] >= 0) & (offsets[..., 0] <= 1 - slope + 1e-6)).all()


def test_a_batch_gets_one_augmentation_by_their_probabilities(pair):
    frames, names = [images.flatten(0, 1) for images in pair], []
    augments = Augments({"rgb": {"name": "rgb", "probability": 0.3}, "mine": {"name": "blend", "probability": 0.5}})
    for name in ("rgb", "mine"):
        augments.augments[name] = lambda lr, hr, rng, name=name: names.append(name) or (lr, hr)
    rng = torch.Generator().manual_seed(0)
    for _ in range(1000):
        augments(*frames, rng, 2)
    assert abs(names.count("rgb") - 300) < 50 and abs(names.count("mine") - 500) < 50
    with pytest.raises(SRError, match=r"augment.a, b add up to 1.2"):
        Augments({name: {"name": "rgb", "probability": 0.6} for name in "ab"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["+augment=cutblur"], "degradation=bicubic makes LR that is clean"),
        (["+augment=mixup", "data.batch_size=1"], "set data.batch_size=2 or more"),
        (["+augment=rgb", "channels=1"], "no colours to permute"),
        (["+augment=[mixup,blend]", "augment.mixup.probability=0.9"], "add up to 1.1"),
        (["+augment=cutmix", "augment.cutmix.share=2"], "augment.cutmix.share is 2: give a number of at least 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(train_py, options, says):
    outcome = train_py("logger=none", "model.features=8", "model.blocks=1", *options)
    assert outcome.code == 2 and outcome.err.count("error:") == 1 and says in outcome.err


@pytest.mark.slow
def test_clips_are_augmented_as_a_whole_and_a_picture_shows_how(train):
    options = ["+augment=[cutmix,mixup]", "augment.cutmix.probability=0.6", "augment.mixup.probability=0.4"]
    options += ["stages=[joint]", "optim/schedule=constant", "trainer.val_every=100"]
    folder = train(*options, "stage.joint.steps=2", video=True)
    train(f"resume={folder}", "stage.joint.steps=4")
    assert_same(state(folder), state(train(*options, "stage.joint.steps=4", name="whole", video=True)))
    assert Image.open(folder / "samples/augmented.png").width > 2 * 32


def test_a_run_learns_from_augmented_batches(train):
    options = ["trainer.max_steps=1", "callbacks.samples.count=0"]
    plain = metrics_of(train(*options, name="plain"))
    augmented = metrics_of(train(*options, "+augment=blend", "augment.blend.probability=1"))
    assert plain["loss/pixel"] != augmented["loss/pixel"]
