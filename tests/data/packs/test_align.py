"""`sr pack --align`: pairs with a known shift and gain become pairs without, others are left out by name."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sr_experiments.data.alignment import align, reduced
from sr_experiments.data.paired import PairedFolder
from sr_experiments.doctor.images import compare
from sr_experiments.errors import SRError

WAVES = 120


def scene(height, width, at=(0.0, 0.0), seed=0):
    """A sum of waves, sampled anywhere exactly: uint8 (height, width, 3), beginning at (x, y) `at`."""
    rng = np.random.default_rng(seed)
    frequencies = rng.normal(0, 0.07, (WAVES, 2))
    heights = rng.normal(0, 1, (WAVES, 3)) / (0.03 + np.hypot(*frequencies.T))[:, None]
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    x, y = np.arange(width) + at[0], np.arange(height) + at[1]
    angles = frequencies[:, 0, None, None] * x + frequencies[:, 1, None, None] * y[:, None]
    waves = np.cos(2 * np.pi * angles + phases[:, None, None])
    values = np.einsum("whx,wc->hxc", waves, heights)
    return np.clip(np.rint(110 + 28 * values / np.sqrt((heights**2).sum() / 2 / 3)), 0, 255).astype(np.uint8)


def pair(scale, shift, gain=1.0, seed=0, side=64):
    """HR, and LR that is shifted by (dx, dy) HR pixels and `gain` times as bright; and HR as it should have been."""
    hr = scene(side * scale, (side + 16) * scale, shift, seed)
    fitting = scene(side * scale, (side + 16) * scale, seed=seed)
    lr = np.clip(np.rint(reduced(fitting, scale) * gain), 0, 255).astype(np.uint8)
    return hr, lr, np.clip(fitting * gain, 0, 255)


@pytest.mark.parametrize(
    ("scale", "shift", "gain"),
    [
        (2, (1.0, 0.0), 1.0),  # half an LR pixel
        (2, (1.0, -2.0), 1.1),
        (4, (2.0, 0.0), 1.0),
        (4, (-0.4, 5.3), 0.9),
        (1, (0.5, 0.25), 1.1),
        (3, (0.0, 0.0), 1.0),
    ],
)
def test_a_known_shift_and_gain_are_found_and_undone(scale, shift, gain):
    hr, lr, fitting = pair(scale, shift, gain)
    found = align(hr, lr, scale)
    np.testing.assert_allclose(np.multiply(found.shift, scale), shift, atol=0.06)
    assert found.gain == pytest.approx(gain, abs=0.005)
    height, width = found.lr.shape[:2]
    assert found.hr.shape == (height * scale, width * scale, 3)
    top, left = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2
    assert max(top, left) <= np.ceil(max(map(abs, shift)) / scale) + 2
    np.testing.assert_array_equal(found.lr, lr[top : top + height, left : left + width])
    truth = fitting[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    difference = found.hr - truth
    assert np.abs(difference).mean() < 1.0 and np.abs(difference).max() < 8
    if gain == 1 and all(d == round(d) for d in shift):
        assert not difference.any()  # whole pixels are moved, not interpolated


def test_what_is_no_shift_is_refused():
    hr, lr, _ = pair(2, (0, 0))
    turned = ndimage.rotate(lr, 1, reshape=False, order=3, mode="reflect")
    with pytest.raises(SRError, match="shifted differently"):
        align(hr, turned, 2)
    with pytest.raises(SRError, match="other content"):
        align(hr, pair(2, (0, 0), seed=5)[1], 2)
    with pytest.raises(SRError, match="too little detail"):
        align(np.full_like(hr, 90), np.full_like(lr, 90), 2)
    with pytest.raises(SRError, match="48 pixels"):
        align(hr[:40], lr[:20], 2)


def test_aligned_pairs_are_packed_and_others_are_named(sr, tmp_path):
    hr_folder, lr_folder = tmp_path / "hr", tmp_path / "x2"
    made = {
        "a/half": pair(2, (1, 0)),
        "subpixel": pair(2, (0.6, -1.3), gain=1.1, seed=1),
        "turned": pair(2, (0, 0), seed=2),
        "other": (pair(2, (0, 0), seed=3)[0], pair(2, (0, 0), seed=4)[1], None),
    }
    for name, (hr, lr, _) in made.items():
        if name == "turned":
            lr = ndimage.rotate(lr, 1, reshape=False, order=3, mode="reflect")
        for folder, pixels in ((hr_folder, hr), (lr_folder, lr)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{name}.png")
    command = ("pack", hr_folder, tmp_path / "pack", "--lr", lr_folder, "--align", "--workers", 0)
    done = sr(*command)
    assert done.code == 0, done.err
    assert "2 of 4 pairs aligned at scale 2" in done.out and "1.00 to 1.10 times as bright" in done.out
    assert "left out turned.png: its parts are shifted differently" in done.err
    assert "left out other.png: " in done.err
    table = list(csv.DictReader((tmp_path / "pack/aligned/alignment.csv").open(encoding="utf-8")))
    rows = {row["name"]: row for row in table}
    assert float(rows["a/half.png"]["dx"]) == pytest.approx(0.5, abs=0.03)
    assert float(rows["subpixel.png"]["dy"]) == pytest.approx(-0.65, abs=0.03)
    assert rows["turned.png"]["dx"] == "" and "rotated" in rows["turned.png"]["left_out"]

    train = PairedFolder(str(tmp_path / "pack/HR"), str(tmp_path / "pack/x2"), crop=32, scale=2)
    assert len(train.paths) == 2
    for index in range(2):
        shift, tint = compare(*(np.asarray(train.load(index)[key]) for key in ("hr", "lr")))
        assert max(map(abs, shift)) <= 0.04 and max(map(abs, tint)) < 1

    again = sr(*command)
    assert again.code == 0 and again.err.count("is already packed") == 2
    assert sr("pack", "--verify", tmp_path / "pack").code == 0


def test_what_can_not_be_aligned_is_one_line(sr, tmp_path):
    hr, _, _ = pair(2, (0, 0))
    for name, pixels in (("large", hr), ("x2", pair(2, (0, 0), seed=9)[1])):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    done = sr("pack", tmp_path / "large", tmp_path / "pack", "--align")
    assert done.code == 2 and "error: --align takes pairs: give one folder of LR with --lr" in done.err
    done = sr("pack", tmp_path / "x2", tmp_path / "pack", "--lr", tmp_path / "large", "--align", "--workers", 0)
    assert done.code == 2 and "has larger images than" in done.err
    done = sr("pack", tmp_path / "large", tmp_path / "pack", "--lr", tmp_path / "x2", "--align", "--workers", 0)
    assert done.code == 2 and "can be aligned" in done.err.splitlines()[-1]
    (tmp_path / "other/aligned").mkdir(parents=True)
    (tmp_path / "other/aligned/mine.txt").touch()
    done = sr("pack", tmp_path / "large", tmp_path / "other", "--lr", tmp_path / "x2", "--align", "--workers", 0)
    assert done.code == 2 and "does not hold aligned pairs" in done.err
