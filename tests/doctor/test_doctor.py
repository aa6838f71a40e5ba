"""`sr doctor` finds what would spoil a training run, and says nothing against a healthy one."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFilter
from rich.console import Console

from sr_experiments.doctor.examine import examine
from sr_experiments.doctor.images import compare, fingerprint
from tests.conftest import TINY_MODEL, TINY_RUN, TINY_VIDEO, TINY_VIDEO_RUN

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")


def photograph(name, side=240):
    image = getattr(skimage.data, name)()
    return image[: min(image.shape[:2]), : min(image.shape[:2])][:side, :side]


def downscaled(image, scale=4):
    height, width = image.shape[:2]
    return np.array(Image.fromarray(image).resize((width // scale, height // scale), Image.Resampling.BICUBIC))


def pairs(folder, change=lambda lr: lr):
    """HR and LR of photographs under `folder`; `change` spoils LR."""
    for name in PHOTOGRAPHS[:4]:
        hr = photograph(name)
        for kind, image in (("hr", hr), ("lr", change(downscaled(hr)))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / kind / f"{name}.png")
    return ["data=paired", f"data.train.hr={folder}/hr", f"data.train.lr={folder}/lr"]


def examined(*overrides, tiny=TINY_RUN, network="msrresnet"):
    found = examine([*TINY_MODEL[network], *tiny, "data.num_workers=0", *overrides], 100, 2, Console(quiet=True))
    return {finding.check: finding for finding in found}


def test_a_healthy_paired_run_passes_every_check(tmp_path):
    found = examined(*pairs(tmp_path))
    assert {"configuration", "images", "alignment", "colours", "duplicates", "a few steps", "data", "memory"} <= set(
        found
    )
    assert {f.status for name, f in found.items() if name != "data" and not name.startswith("metric")} == {"pass"}
    assert "steps/s" in found["a few steps"].found
    assert re.fullmatch(r"about \d+ (s|min), without validation", found["whole run"].found)


@pytest.mark.parametrize(
    "change, check, said",
    [
        (lambda lr: np.roll(lr, 1, axis=1), "alignment", "shifted by (+"),
        (lambda lr: np.clip(lr * 0.9, 0, 255).astype(np.uint8), "colours", "LR differs from HR by (-"),
        (lambda lr: lr[..., ::-1], "colours", "LR differs from HR by"),
    ],
)
def test_spoiled_pairs_are_found(tmp_path, change, check, said):
    found = examined(*pairs(tmp_path, change))
    assert found[check].status == "fail" and said in found[check].found


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("dx, dy", [(0, 0), (2, -1), (-5, 3)])
def test_registration_finds_shifts_of_fractions_of_a_pixel(name, dx, dy):
    """LR of a view that lies (dx, dy) HR pixels beside HR's."""
    whole = photograph(name, 264)
    (x, y), _ = compare(whole[12:252, 12:252], downscaled(whole[12 - dy : 252 - dy, 12 - dx : 252 - dx]))
    assert abs(x - dx / 4) < 0.1 and abs(y - dy / 4) < 0.1


def test_every_fourth_pixel_is_recognised_as_the_corner_phase(tmp_path):
    for name in PHOTOGRAPHS[:3]:
        hr = photograph(name)
        blurred = np.array(Image.fromarray(hr).filter(ImageFilter.GaussianBlur(1.5)))
        for kind, image in (("hr", hr), ("lr", blurred[::4, ::4])):
            (tmp_path / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / kind / f"{name}.png")
    places = ["data=paired", f"data.train.hr={tmp_path}/hr", f"data.train.lr={tmp_path}/lr"]
    found = examined(*places)
    assert found["alignment"].status == "fail" and "corner phase" in found["alignment"].todo
    assert examined(*places, "degradation=blur_down")["alignment"].status == "pass"


def test_pairs_without_the_phase_that_the_run_says_are_recognised(tmp_path):
    found = examined(*pairs(tmp_path), "degradation=blur_down")
    assert found["alignment"].status == "fail" and "degradation=bicubic" in found["alignment"].todo
    assert "shifted by (-0.3" in found["alignment"].found


def test_validation_images_among_the_training_images_are_found(tmp_path):
    for name in PHOTOGRAPHS[:4]:
        (tmp_path / "train").mkdir(exist_ok=True)
        Image.fromarray(photograph(name)).save(tmp_path / "train" / f"{name}.png")
    (tmp_path / "val").mkdir()
    Image.fromarray(photograph("coffee")).resize((200, 200)).save(tmp_path / "val" / "copy.jpg", quality=80)
    sets = ["data=images", f"data.train.root={tmp_path}/train", f"+data.val.mine.root={tmp_path}/val"]
    tiny = [override for override in TINY_RUN if "data.val" not in override]
    found = examined(*sets, tiny=tiny)
    assert found["duplicates"].status == "fail"
    assert "copy of mine is" in found["duplicates"].found and "coffee.png" in found["duplicates"].found


def test_fingerprints_of_copies_are_alike_and_of_others_are_not():
    images = [photograph(name) for name in PHOTOGRAPHS]
    prints = [fingerprint(image) for image in images]
    for i, image in enumerate(images):
        copy = np.array(Image.fromarray(image).resize((150, 150)))
        assert (fingerprint(copy) ^ prints[i]).bit_count() <= 6
        assert all((prints[i] ^ other).bit_count() > 12 for other in prints[:i])


def test_unreadable_images_are_named(tmp_path):
    overrides = pairs(tmp_path)
    path = tmp_path / "hr" / "coffee.png"
    path.write_bytes(path.read_bytes()[:3000])
    found = examined(*overrides, "data.train.on_error=skip")
    assert found["images"].status == "fail" and "coffee.png" in found["images"].found


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["data=images", "data.train.root=nowhere"], "no folder nowhere"),
        (["data.crop=33"], "data.crop=33 must be a multiple"),
        (["model=nonsense"], "nonsense"),
        (["loss=[1,2]"], "model=rrdbnet"),
    ],
)
def test_what_train_would_refuse_is_refused_here(overrides, said):
    [finding] = examined(*overrides).values()
    assert finding.status == "fail" and said in finding.found and "\n" not in finding.found


def test_every_stage_of_a_staged_run_is_rehearsed():
    overrides = [*TINY_VIDEO, *TINY_VIDEO_RUN, "data.num_workers=0"]
    found = {f.check: f for f in examine(overrides, 10, 2, Console(quiet=True))}
    assert [name for name in found if name.startswith("a few steps")] == [
        f"a few steps of stage {stage}" for stage in ("1_flow", "2_sr", "3_joint")
    ]


def test_the_command_prints_a_table_and_ends_with_a_code(sr, tmp_path):
    overrides = [*TINY_MODEL["msrresnet"], *TINY_RUN, "data.num_workers=0"]
    done = sr("doctor", *overrides, *pairs(tmp_path), "--steps", 1, "--json", tmp_path / "found.json")
    assert done.code == 0, done.err
    assert "alignment" in done.out and "pass" in done.out
    assert {f["check"] for f in json.loads(Path(tmp_path / "found.json").read_text())["findings"]} >= {"memory"}
    assert sr("doctor", *overrides, "scale=7").code == 1


def test_a_monitor_that_is_not_measured_is_found_before_training():
    found = examined("trainer.monitor=psnr_z")
    assert found["configuration"].status == "fail" and list(found) == ["configuration"]
    assert "trainer.monitor=psnr_z is not measured: choose one of psnr_y" in found["configuration"].found


def test_pairs_of_one_size_are_looked_over_too(tmp_path):
    noise = np.random.default_rng(0)
    for name in PHOTOGRAPHS[:4]:
        hr = photograph(name)
        for kind, image in (("hr", hr), ("lr", (0.8 * hr + noise.normal(0, 10, hr.shape)).clip(0, 255))):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / kind / f"{name}.png")
    places = [f"data.train.hr={tmp_path}/hr", f"data.train.lr={tmp_path}/lr", "~data.val.sample", "data.val_share=0.3"]
    found = examined("scale=1", "data=paired", *places, network="unet")
    assert found["alignment"].status == found["a few steps"].status == "pass"
    assert found["colours"].status == "warn"  # darker: a fault of the pairs, or what is to be mended
