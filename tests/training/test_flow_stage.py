"""The default flow stage, in full: what it learns from the sample clips is real motion."""

import pytest
import torch

from sr_experiments.checkpoints.initialise import load_weights
from sr_experiments.checkpoints.reading import read
from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import sample_paths
from sr_experiments.generators import GENERATORS
from sr_experiments.registry import build

SHIFTS = [(4, 0), (0, -4), (2, 2), (6, 2), (-4, 4)]  # of the camera, in HR pixels


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_translated_photograph_gives_the_translation_back(tmp_path, command):
    result = command(
        "model=frvsr", "stages=[flow]", "logger=none", "trainer.val_every=1000", f"output_dir={tmp_path}", timeout=1100
    )
    assert result.returncode == 0, result.stderr
    checkpoint = read(next(tmp_path.glob("*/*")))
    generator = build("generator", GENERATORS, checkpoint.generator).eval()
    load_weights(generator, checkpoint)
    degrade = DEGRADATIONS["bicubic"](scale=4).validation

    errors, still = [], []
    for path in sample_paths(("camera.png", "chelsea.png")):
        photograph = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None] / 255
        top, left = ((side - 192) // 2 for side in photograph.shape[-2:])
        for dx, dy in SHIFTS:
            before, now = (
                photograph[..., top + y : top + y + 192, left + x : left + x + 192] for x, y in ((0, 0), (dx, dy))
            )
            with torch.no_grad():
                flow = generator.flow(degrade(now), degrade(before))[0, :, 4:-4, 4:-4]
            # The camera went right by dx: what is at x now was at x + dx before.
            true = torch.tensor([dx / 4, dy / 4])
            errors.append((flow.flatten(1).median(1).values - true).norm())
            still.append(true.norm())
    assert torch.stack(still).mean() > 1
    assert torch.stack(errors).mean() < 0.5, f"errors in LR pixels: {[round(float(e), 2) for e in errors]}"
