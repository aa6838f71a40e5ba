"""Pictures of validation show where the networks differ."""

import numpy as np
import pytest
import torch
from PIL import Image

from sr_experiments.display.pictures import GAP, LABEL_HEIGHT
from sr_experiments.training.callbacks.samples import textured_place


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 96), (64, 96), (32, 48)])
def test_the_place_with_the_most_texture_is_found(scale, top, left):
    hr = torch.linspace(0, 1, 128).repeat(96, 1)  # a ramp is no texture
    hr[top : top + 32, left : left + 32] = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    size = 32 // scale
    assert textured_place(hr[None, None], scale, size, size) == (top // scale, left // scale)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 96), (64, 96), (32, 48)])
def test_strips_show_the_place_with_the_most_texture(train, tmp_path, top, left):
    picture = np.full((96, 128, 3), 200, np.uint8)
    picture[:, :64] -= np.arange(64, dtype=np.uint8)[None, :, None]  # a ramp, which LR keeps, is no texture
    texture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    picture[top : top + 32, left : left + 32] = texture
    (tmp_path / "hr").mkdir()
    Image.fromarray(picture).save(tmp_path / "hr/a.png")
    folder = train(
        "~data.val.sample",
        f"+data.val.mine.root={tmp_path / 'hr'}",
        "callbacks.samples.size=32",
        "trainer.max_steps=2",
    )
    strip = np.asarray(Image.open(folder / "samples/step_00000002/mine_a.png"))
    assert strip.shape == (32 + LABEL_HEIGHT, 4 * (32 + GAP) - GAP, 3)
    assert np.array_equal(strip[LABEL_HEIGHT:, -32:], texture)


def test_each_set_has_its_own_number_of_strips(train, tmp_path):
    for name in ("a", "a_b"):
        (tmp_path / name).mkdir()
        for image in ("x", "y"):
            Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / name / f"{image}.png")
    sets = [f"+data.val.{name}.root={tmp_path / name}" for name in ("a_b", "a")]
    folder = train("~data.val.sample", *sets, "callbacks.samples.count=1", "trainer.max_steps=2")
    assert {p.name for p in (folder / "samples/step_00000002").iterdir()} == {"a_b_x.png", "a_x.png"}
