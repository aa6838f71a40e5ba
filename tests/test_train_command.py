"""`python train.py` as its users type it."""

import csv
import json
import logging
import os
import re
import signal
import sys
import time

import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from sr_experiments.display.logging_setup import log_to_console
from tests.conftest import ROOT, TINY_GAN, TINY_MODEL, TINY_RUN, gan_schedule, others_slow


def metrics_of(folder):
    """metrics.csv as {metric: {step: value}}."""
    table: dict[str, dict[int, float]] = {}
    with (folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            table.setdefault(row["metric"], {})[int(row["step"])] = float(row["value"])
    return table


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("loss", [[], [*TINY_GAN, "optim.betas=[0,0.99]"]], ids=["pixel", "gan"])
@pytest.mark.parametrize("model", TINY_MODEL)
@pytest.mark.parametrize("scale", others_slow([4], [2, 3, 4]))
def test_every_pair_of_model_and_loss_trains(train, model, loss, scale, capsys):
    overrides = [*TINY_MODEL[model], *loss, f"scale={scale}", "data.crop=36"]
    if model == "rrdbnet" and scale == 3:
        with pytest.raises(SystemExit):
            train(*overrides)
        assert "scale" in capsys.readouterr().err
        return
    folder = train(*overrides)
    assert folder.parent.name == f"{model}_{'gan' if loss else 'pixel'}_x{scale}"
    values = metrics_of(folder)
    assert set(values["loss/pixel"]) == {1, 2, 3, 4}
    assert set(values["val/sample/psnr_y"]) == {2, 4}
    summary = summary_of(folder)
    assert summary["state"] == "finished"
    assert summary["step"] == 4
    assert summary["final"]["val/sample/psnr_y_bicubic"] > 20
    assert (folder / "checkpoints" / "last.ckpt").exists()
    assert (folder / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            [*TINY_MODEL["msrresnet"], "scale=5"],
            "msrresnet can't do scale=5: set scale=2, 3 or 4, or model=compact or model=esc or model=unet or model=sp",
        ),
        (
            [*TINY_MODEL["msrresnet"], "scale=1"],
            "set scale=2, 3 or 4, or model=compact or model=esc or model=rrdbnet or model=unet or",
        ),
        (
            [*TINY_MODEL["rrdbnet"], "scale=3"],
            "set scale=1, 2 or 4, or model=compact or model=esc or model=msrresnet or model=sr",
        ),
        (["model=spandrel", "scale=5", "data.crop=36"], "data.crop=36 must be a multiple of scale=5: use 35"),
    ],
)
def test_a_scale_that_a_network_cannot_do_is_said_first_with_what_can(train, capsys, overrides, says):
    if "model=spandrel" in overrides:
        pytest.importorskip("spandrel")
    with pytest.raises(SystemExit):
        train(*overrides)
    assert says in capsys.readouterr().err


def test_what_the_advice_on_a_scale_says_trains(train):
    pytest.importorskip("spandrel")
    folder = train("model=spandrel", "arch=SPAN", "model.options={feature_channels: 8}", "scale=5", "data.crop=35")
    assert summary_of(folder)["state"] == "finished"


def test_run_folder_holds_config_pictures_and_record(train):
    folder = train(*TINY_MODEL["msrresnet"], "scale=4")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["features"] == 8
    strips = sorted((folder / "samples" / "step_00000004").glob("*.png"))
    assert len(strips) == 1
    width, height = Image.open(strips[0]).size
    assert width > 4 * (height - 20)  # four square tiles and the gaps between them
    summary = summary_of(folder)
    assert "crop" in summary["conventions"]["psnr_y"]
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0] or summary["versions"]["torch"]
    # Without trained AlexNet weights there is no LPIPS, and the record says so.
    assert "metric lpips_alex" in summary["left_out"]
    assert not any("lpips" in key for key in summary["final"])
    assert "resuming" not in (folder / "train.log").read_text()


def test_gan_run_logs_its_health(train):
    folder = train(*TINY_GAN, *gan_schedule(2, 1), "trainer.max_steps=6")
    values = metrics_of(folder)
    for key in ("gan/d_real", "gan/d_fake", "gan/margin", "loss/adversarial", "loss_weighted/adversarial"):
        assert set(values[key]) == {3, 4, 5, 6}, key  # not before the warm-up is over
    assert set(values["grad_norm/generator"]) == {1, 2, 3, 4, 5, 6}
    assert set(values["grad_norm/discriminator"]) == {3, 4, 5, 6}
    assert set(values["loss_weighted/pixel"]) == {1, 2, 3, 4, 5, 6}
    assert values["gan/margin"][4] == pytest.approx(values["gan/d_real"][4] - values["gan/d_fake"][4], abs=1e-5)
    assert values["loss_weighted/pixel"][4] == pytest.approx(5 * values["loss/pixel"][4], rel=1e-5)  # no VGG
    # One step of ramp: half the weight at step 3 (the first after warm-up), then all of it.
    ratio = [values["loss_weighted/adversarial"][s] / values["loss/adversarial"][s] for s in (3, 4)]
    assert ratio == pytest.approx([0.5 * 5e-3, 5e-3], rel=1e-4)
    assert "perceptual loss" in summary_of(folder)["left_out"]


def test_same_seed_same_bits_whatever_the_workers(train):
    a = train(*TINY_MODEL["srresnet"], "data.num_workers=0", name="a")
    b = train(*TINY_MODEL["srresnet"], "data.num_workers=3", name="b")
    c = train(*TINY_MODEL["srresnet"], "seed=1", name="c")
    weights = [torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in (a, b, c)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not all(torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


def test_init_from_a_pixel_run_reports_what_matched(train):
    pixel = train(name="pixel")
    folder = train(*TINY_GAN, f"init_from={pixel}", name="gan")
    report = summary_of(folder)["initialised_from"]
    assert str(pixel) in report
    assert "best.ckpt" in report or "matched" in report


def test_published_recipe_composes_and_stops_without_required_weights(train, capsys, tmp_path):
    pixel = train(*TINY_MODEL["rrdbnet"], name="pixel")
    images = tmp_path / "images"
    images.mkdir()
    Image.effect_noise((64, 64), 60).convert("RGB").save(images / "a.png")
    with pytest.raises(SystemExit) as stop:
        train(
            "experiment=esrgan_x4",
            *TINY_MODEL["rrdbnet"],
            f"data.train.root={images}",
            f"init_from={pixel}",
            name="gan",
        )
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "perceptual loss is required" in error
    assert "vgg19" in error


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["optim.learning_rate=-1"], "optim.learning_rate"),
        (["trainer.max_steps=0"], "trainer.max_steps"),
        (["model.blocs=3"], "blocs"),
        (["trainer.monitor=nonsense"], "psnr_y"),
        (["trainer.precision=8"], "bf16-mixed"),
        (["data=images"], "data"),
        (["data=images", "data.train.root=/nowhere"], "/nowhere"),
        (["init_from=/nowhere.pth"], "/nowhere.pth"),
        (["resume=/nowhere"], "/nowhere"),
        (["output_dir=/proc/nowhere"], "output_dir"),
        (["experiment=msrgan_x4", "data.train.root=."], "init_from"),
        (["data.crop=4096"], "crop"),
        (["optim.schedule.cycles=0"], "cycles"),
        (["optim.name=sgd"], "adamw"),
    ],
)
def test_mistakes_get_one_line(train, capsys, overrides, says):
    from hydra.errors import HydraException

    with pytest.raises((SystemExit, HydraException)) as stop:
        train(*overrides)
    if isinstance(stop.value, SystemExit):
        assert stop.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1
        assert says in lines[0]
    else:
        assert says in str(stop.value)


def test_signals_and_messages_are_left_as_they_were(train, capsys):
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in signals]
    train("trainer.max_steps=2")
    assert [signal.getsignal(number) for number in signals] == before
    with pytest.raises(SystemExit):
        train("trainer.max_steps=400", "optim/schedule=constant", "optim.learning_rate=1e30", name="diverging")
    assert [signal.getsignal(number) for number in signals] == before
    capsys.readouterr()
    log_to_console(Console(file=sys.stderr))  # as a command in the same process does
    logging.getLogger("sr_experiments.any").info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_nan_loss_names_the_term_and_the_step_and_keeps_the_checkpoint(train, capsys):
    options = [
        "trainer.max_steps=400",
        "trainer.val_every=1000",
        "trainer.checkpoint_every=2",
        "optim/schedule=constant",
    ]
    with pytest.raises(SystemExit) as stop:
        train(*options, "optim.learning_rate=1e30", name="nan")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "loss/pixel became" in error or "grad_norm/generator became" in error
    assert "at step" in error


def test_out_of_memory_says_which_knob(train, capsys, monkeypatch):
    from sr_experiments.training.module import SRModule

    def hungry(module, lr, hr, target):
        return {"x": torch.empty(1 << 44)}

    monkeypatch.setattr(SRModule, "train_batch", hungry)
    with pytest.raises(SystemExit):
        train()
    assert "data.batch_size" in capsys.readouterr().err


def test_checkpoint_of_another_architecture_says_what_differs(train, capsys):
    folder = train(*TINY_MODEL["msrresnet"])
    with pytest.raises(SystemExit):
        train(f"resume={folder}", "model.blocks=2", "trainer.max_steps=8")
    error = capsys.readouterr().err
    assert "blocks" in error
    assert "init_from" in error


def test_help_and_cfg_are_quick_and_import_no_torch(command):
    for arguments in (["--help"], ["--cfg", "job"], ["loss=gan", "--cfg", "job"]):
        started = time.monotonic()
        done = command(*arguments, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0, done.stderr[-2000:]
        imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
        assert not imported & {"torch", "wandb", "pytorch_lightning", "lpips"}
        assert time.monotonic() - started < 60
    helped = command("--help").stdout
    assert "rrdbnet" in helped
    for path in (ROOT / "conf/hydra").glob("*/*.yaml"):
        group = f"hydra/{path.parent.name}"
        assert f"{group}={path.stem}: " in helped
        for key in set(yaml.safe_load(path.read_text())) - {"_target_"}:
            assert re.search(rf"^  {group.replace('/', '.')}.{key}: .*# \S", helped, re.MULTILINE), f"{path}: {key}"


def test_unknown_names_list_what_exists(train_py):
    done = train_py("model=edvr")
    assert done.code != 0
    assert all(name in done.err for name in ("msrresnet", "rrdbnet", "srresnet"))


def test_last_lines_say_metrics_folder_and_next_commands(train_py, tmp_path):
    done = train_py(*TINY_MODEL["msrresnet"], *TINY_RUN, "logger=wandb", f"output_dir={tmp_path}")
    assert done.code == 0, done.err[-3000:]
    folder = next(tmp_path.glob("*/*"))
    for words in ("psnr_y", "bicubic", str(folder), f"resume={folder}", "sr sync", "samples/s", "data wait"):
        assert words in done.err, words
    repeat = train_py(
        "--config-dir", str(folder), "--config-name", "config", "logger.name=none", f"output_dir={tmp_path / 'again'}"
    )
    assert repeat.code == 0, repeat.err[-3000:]
    weights = [
        torch.load(next(r.glob("**/last.ckpt")), weights_only=True)["state_dict"] for r in (folder, tmp_path / "again")
    ]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.fixture
def damaged_folder(tmp_path):
    """Five photographs' worth of noise, one cut short after its header."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        Image.effect_noise((64, 64), 60).convert("RGB").save(folder / f"{i}.png")
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_truncated_image_stops_the_run_with_its_name(train, damaged_folder, capsys, workers):
    with pytest.raises(SystemExit) as stop:
        train("data=images", f"data.train.root={damaged_folder}", f"data.num_workers={workers}")
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "3.png" in lines[0]


def test_truncated_image_is_skipped_counted_and_named_on_request(train, damaged_folder):
    options = ["data=images", f"data.train.root={damaged_folder}", "data.num_workers=2", "data.train.on_error=skip"]
    folder = train(*options, "trainer.max_steps=10", "trainer.val_every=10")
    skipped = summary_of(folder)["skipped_images"]
    assert list(skipped) == [str(damaged_folder / "3.png")]
    assert skipped[str(damaged_folder / "3.png")] == 4  # 20 samples are four passes over five images
    assert metrics_of(folder)["data/images_skipped"][10] == 1


def test_several_validation_sets_and_pairs(train, tmp_path):
    import numpy as np
    import torch.nn.functional as F

    for i in range(2):
        hr = torch.from_numpy(np.random.default_rng(i).random((1, 3, 64, 64), dtype=np.float32))
        lr = F.interpolate(hr, scale_factor=0.25, mode="area")
        for name, image in ((f"HR/{i}.png", hr), (f"LR/{i}x4.png", lr)):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((image[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(path)
    pair = [f"data.train.hr={tmp_path / 'HR'}", f"data.train.lr={tmp_path / 'LR'}"]
    mine = [f"+data.val.mine.hr={tmp_path / 'HR'}", f"+data.val.mine.lr={tmp_path / 'LR'}"]
    folder = train("data=paired", *pair, *mine, "trainer.monitor=mine/ssim_y")
    summary = summary_of(folder)
    assert {key.split("/")[1] for key in summary["final"]} == {"sample", "mine"}
    assert summary["best"]["monitor"] == "val/mine/ssim_y"


def test_offline_asks_for_no_weights_and_holds_for_this_run_alone(train, monkeypatch, capsys):
    monkeypatch.delenv("SR_OFFLINE")
    asked = []
    monkeypatch.setattr(torch.hub, "urlopen", lambda *args, **kwargs: asked.append(args))
    train(*TINY_GAN, "offline=true")
    assert "offline=true" in capsys.readouterr().err and not asked
    assert "SR_OFFLINE" not in os.environ


@pytest.mark.parametrize("kind", ["images", "paired"])
def test_validation_images_that_a_metric_cannot_measure_are_refused_at_the_start(train, tmp_path, capsys, kind):
    for folder, side in (("HR", 16), ("LR", 4)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (side, side)).save(tmp_path / folder / "a.png")
    given = {"images": ["root=HR"], "paired": ["hr=HR", "lr=LR"]}[kind]
    with pytest.raises(SystemExit):
        train(*(f"+data.val.mine.{setting.replace('=', f'={tmp_path}/')}" for setting in given))
    assert "a.png is 16x16, and the metric ssim_y needs 19 pixels a side" in capsys.readouterr().err
