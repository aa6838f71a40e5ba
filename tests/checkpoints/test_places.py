"""Which checkpoint a path means."""

import numpy as np
from PIL import Image

from sr_experiments.checkpoints.places import newest_run


def test_a_folder_of_runs_means_the_newest_with_a_checkpoint(train, sr, tmp_path):
    first = train("trainer.max_steps=1", "trainer.val_every=1", name="first")
    runs = first.parent
    later = runs / "2099-01-01_00-00-00"
    for place, content in (
        (later, (first / "checkpoints/last.ckpt").read_bytes()),
        (runs / "2099-02-01_00-00-00", b""),
    ):
        (place / "checkpoints").mkdir(parents=True)
        if content:
            (place / "checkpoints/last.ckpt").write_bytes(content)
    assert newest_run(runs) == later
    assert newest_run(first) == first

    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "lr.png")
    assert sr("upscale", tmp_path / "lr.png", "-o", tmp_path / "sr.png", "-c", runs, "--runtime", "torch").code == 0
    assert Image.open(tmp_path / "sr.png").size == (64, 64)

    choose = ("tune", tmp_path / "lr.png", "-o", tmp_path / "sheet.png", "-c", runs)
    assert sr(*choose).code == 0

    second = train("trainer.max_steps=1", "trainer.val_every=1", f"init_from={runs}", name="second")
    assert f"init_from: {later}" in (second / "config.yaml").read_text()
