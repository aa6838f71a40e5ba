"""Training killed with SIGKILL, again and again, ends with the bits of one that nobody disturbed."""

import random

import pytest

from tests.conftest import TINY_GAN, TINY_MODEL, TINY_RUN, TINY_VIDEO, TINY_VIDEO_RUN, gan_schedule
from tests.crash.victims import KILLS, MOMENTS, SEED, SHORT, Victim
from tests.same_runs import assert_same_run

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7200)]

STEPS = 240 if SHORT else 600
OFTEN = ["trainer.val_every=40", "trainer.checkpoint_every=3", "data.num_workers=1"]
IMAGES = [*TINY_MODEL["srresnet"], *TINY_RUN, f"trainer.max_steps={STEPS}", *OFTEN]
KINDS = {
    "pixel": [*IMAGES, "optim.clip_norm=1.0"],
    "gan": [*IMAGES, *TINY_GAN, *gan_schedule(20, 40), "optim.accumulate=2"],
    "frvsr": [
        *TINY_VIDEO,
        *TINY_VIDEO_RUN,
        *OFTEN,
        *TINY_GAN,
        "loss/discriminator=patch",
        *(f"stage.{name}.steps={STEPS // 3}" for name in ("flow", "sr", "joint")),
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_killed_trainings_resume_to_the_same_bits(tmp_path, kind):
    place = list(KINDS).index(kind)
    count = KILLS // len(KINDS) + (place < KILLS % len(KINDS))
    chance = random.Random(1000 * SEED + place)
    # Each moment as often as the others, in any order; the last tenth of the run is left to finish.
    moments = [MOMENTS[(i + place) % len(MOMENTS)] for i in range(count)]
    chance.shuffle(moments)
    after = sorted(chance.randint(1, int(0.9 * STEPS)) for _ in moments)
    print(f"\n{kind}: SR_CRASH_SEED={SEED}, {count} kills")  # noqa: T201
    victim = Victim(tmp_path / "victim", KINDS[kind], STEPS, chance)
    for moment, step in zip(moments, after, strict=True):
        victim.killed_at(moment, step)
    folder = victim.end()
    reference = Victim(tmp_path / "reference", KINDS[kind], STEPS, chance).end()
    assert_same_run(folder, reference)
    assert not list(folder.glob(".*.tmp")) + list(folder.glob("checkpoints/.*")) + list(folder.glob("samples/**/.*"))
    assert victim.killed == count
    print(f"{kind}: {count} kills survived: {victim.kills}; {victim.lost} before the first checkpoint")  # noqa: T201
