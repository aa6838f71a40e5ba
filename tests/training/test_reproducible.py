"""The same seed gives the same bits, however the data is read, and a run can be repeated from what it left."""

import json
import platform
import shutil

import pytest
import torch
from PIL import Image

from sr_experiments.data.packs.packing import pack
from sr_experiments.data.sample import TRAINING, sample_paths
from tests.conftest import TINY_GAN, TINY_MODEL
from tests.same_runs import assert_same_run

RUN = ["data=images", "trainer.max_steps=6", "trainer.val_every=3"]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sample_paths(TRAINING[:4]):
        Image.open(path).convert("RGB").crop((0, 0, 96, 80)).save(folder / f"{path.stem}.png")
    return folder


def test_workers_and_packs_change_no_bit(train, images, tmp_path):
    packed = tmp_path / "packed"
    pack(images, packed, workers=0)
    folders = [
        train(*TINY_MODEL["srresnet"], *RUN, f"data.train.root={root}", f"data.num_workers={workers}", name=name)
        for name, root, workers in (
            ("none", images, 0),
            ("one", images, 1),
            ("three", images, 3),
            ("packed", packed, 0),
            ("packed_two", packed, 2),
        )
    ]
    for folder in folders[1:]:
        assert_same_run(folder, folders[0])
    other = train(*TINY_MODEL["srresnet"], *RUN, f"data.train.root={images}", "seed=1", name="other")
    a, b = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (folders[0], other))
    assert not all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_workers_change_no_bit_of_video(train):
    settings = [*TINY_GAN, "stage.joint.steps=4"]  # the GAN reaches its full weight, so that there is a best.ckpt
    none, two = (train(*settings, f"data.num_workers={n}", video=True, name=f"workers_{n}") for n in (0, 2))
    assert_same_run(none, two)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [[], TINY_GAN], ids=["pixel", "gan"])
def test_a_run_is_repeated_from_its_config_and_summary_alone(train, command, images, tmp_path, loss):
    folder = train(*RUN, f"data.train.root={images}", *loss)
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("config.yaml", "summary.json"):
        shutil.copy(folder / name, kept / name)
    shutil.move(folder, tmp_path / "away")
    summary = json.loads((kept / "summary.json").read_text())
    assert (
        summary["versions"]["torch"] == torch.__version__.split("+")[0]
        and summary["python"] == platform.python_version()
    )
    assert torch.backends.cpu.get_cpu_capability() in summary["device"]
    assert {"seed", "device", "processes", "precision", "git", "max_steps", "left_out"} <= summary.keys()
    again = tmp_path / "again"
    done = command(
        *("--config-dir", str(kept), "--config-name", "config", f"output_dir={again}"),
        OMP_NUM_THREADS=str(summary["threads"]),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_run(next(again.glob("*/*")), tmp_path / "away")
