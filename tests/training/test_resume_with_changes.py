"""`resume=RUN key=value`: checked against the run's own settings, recorded, and refused without a trace."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from sr_experiments.errors import SRError
from sr_experiments.runs.changes import read_changes
from tests.conftest import TINY_GAN, gan_schedule


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "override",
    [
        "optim.ema_decay=null", "optim.learning_rate=-1", "loss.terms.pixl.weight=2", "modle=rrdbnet",
        "trainer.monitor=nonsense", "trainer.accelerator=gpu", "trainer.accelerator=tpu", "data.crop=33",
        "val.compare_with=/nowhere", "experiment=esrgan_x4", "init_from=/nowhere", "logger.name=nonsense",
        "+stages=[flow]",
    ],
)  # fmt: skip
def test_a_refused_resume_leaves_the_folder_as_it_was(finished, train, override, capsys):
    before = contents(finished)
    with pytest.raises(SystemExit) as stop:
        train(f"resume={finished}", "trainer.max_steps=6", override)
    assert stop.value.code == 2 and capsys.readouterr().err.count("error:") == 1
    assert contents(finished) == before


@pytest.fixture(scope="module")
def _folders():
    return {}


@pytest.fixture
def finished(_folders, train):
    """A finished run, trained once for all that leave it as it was."""
    if "run" not in _folders:
        _folders["run"] = train()
    return _folders["run"]


def test_a_resume_that_fails_before_a_step_leaves_the_folder_as_it_was(finished, train, monkeypatch):
    import pytorch_lightning as pl

    def fails(*_, **__):
        raise OSError(5, "Input/output error")

    before = contents(finished)
    monkeypatch.setattr(pl.Trainer, "fit", fails)
    with pytest.raises(OSError, match="Input"):
        train(f"resume={finished}", "trainer.max_steps=6")
    assert contents(finished) == before


def test_changes_are_recorded_with_their_step_and_kept(train, sr):
    folder = train(*TINY_GAN, *gan_schedule(1, 1), "optim/schedule=multistep", "optim.schedule.milestones=[2]")
    train(
        f"resume={folder}", "trainer.max_steps=6", "loss.terms.adversarial.weight=0.02", "optim.learning_rate=1e-5",
        "optim.schedule.milestones=[1]",
    )  # fmt: skip
    train(f"resume={folder}", "trainer.max_steps=8", "data.crop=64")
    train(f"resume={folder}", "trainer.max_steps=10")  # plainly, with what it has

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["loss"]["terms"]["adversarial"]["weight"] == 0.02 and config["data"]["crop"] == 64
    assert config["optim"]["learning_rate"] == config["optim"]["discriminator_learning_rate"] == 1e-5
    assert config["optim"]["schedule"] == {"name": "multistep", "milestones": [1], "gamma": 0.5}
    changes = {(change.step, change.setting): (change.before, change.now) for change in read_changes(folder)}
    assert changes == {
        (4, "trainer.max_steps"): (4, 6), (4, "loss.terms.adversarial.weight"): (0.005, 0.02),
        (4, "optim.learning_rate"): (5e-4, 1e-5), (4, "optim.discriminator_learning_rate"): (5e-4, 1e-5),
        (4, "optim.schedule.milestones"): ([2], [1]), (6, "trainer.max_steps"): (6, 8), (6, "data.crop"): (32, 64),
        (8, "trainer.max_steps"): (8, 10),
    }  # fmt: skip
    assert [one["step"] for one in json.loads((folder / "summary.json").read_text())["changes"]] == [4] * 5 + [6, 6, 8]
    assert "from step 6 data.crop=64 instead of 32" in (folder / "train.log").read_text()
    header = (folder / "config.yaml").read_text().split("defaults:")[0]
    assert "To repeat it" not in header and "no\n# single command repeats" in header
    shown = sr("compare", folder, "--table").out
    assert "from step 4 optim.learning_rate=1e-05 instead of 0.0005" in shown


def test_other_validation_pictures_choose_the_best_checkpoint_anew(train, tmp_path):
    easy, noise = np.full((64, 64, 3), 128, np.uint8), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name, pixels in (("easy", easy + np.arange(64, dtype=np.uint8)[:, None]), ("noise", noise)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    folder = train(f"+data.val.mine.root={tmp_path / 'easy'}", "trainer.monitor=mine/psnr_y")
    before = json.loads((folder / "summary.json").read_text())["best"]
    train(f"resume={folder}", "trainer.max_steps=6", f"data.val.mine.root={tmp_path / 'noise'}")
    best = json.loads((folder / "summary.json").read_text())["best"]
    assert best["monitor"] == before["monitor"] == "val/mine/psnr_y" and best["step"] == 6
    assert best["metrics"]["val/mine/psnr_y"] < before["metrics"]["val/mine/psnr_y"]
    assert "measured on other pictures" in (folder / "train.log").read_text()


def test_a_value_changed_again_before_a_step_is_one_change(train):
    folder = train()
    for weight in (2, 3):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("sr_experiments.training.module.SRModule.train_batch", stops)
            with pytest.raises(SystemExit):
                train(f"resume={folder}", "trainer.max_steps=6", f"loss.terms.pixel.weight={weight}")
    assert [c.now for c in read_changes(folder) if c.setting == "loss.terms.pixel.weight"] == [3]


def stops(*_):
    raise SRError("no step is trained")


def test_a_run_that_fails_at_its_start_is_listed_as_failed(train, sr, monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise SRError("Weights & Biases could not start: use logger=none")

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr("sr_experiments.training.run.make_loggers", unreachable)
        train()
    [run] = json.loads(sr("runs", tmp_path, "--json").out)
    assert run["state"] == "failed" and "could not start" in run["problem"]


def test_an_architecture_that_the_network_has_not_is_said(train, capsys):
    train("+arch=SwinIR", "trainer.max_steps=1")
    assert "arch has no effect on model=msrresnet: it is of model=spandrel" in " ".join(capsys.readouterr().err.split())


def test_what_is_wrong_with_a_run_leaves_no_folder(train, tmp_path, capsys):
    for override, says in (
        ("trainer.accelerator=gpu", "give trainer.accelerator=cpu or auto"),
        ("trainer.monitor=nonsense", "choose one of psnr_y"),
        ("+stages=[flow]", "stages has no effect on model=msrresnet"),
    ):
        with pytest.raises(SystemExit):
            train(override)
        assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("run/*/*"))


def test_several_options_of_a_group_are_added(train):
    folder = train("trainer.max_steps=1", "+augment=mixup")
    train(f"resume={folder}", "trainer.max_steps=2", "+augment=[rgb,cutmix]", "+loss/terms=[fft,gradient]")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert {name: one["name"] for name, one in config["augment"].items()} == {
        "mixup": "mixup", "rgb": "rgb", "cutmix": "cutmix",
    }  # fmt: skip
    assert set(config["loss"]["terms"]) == {"pixel", "fft", "gradient"}
