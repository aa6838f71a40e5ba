"""What the loggers wrote, read back from the files themselves."""

import io
import json
import logging
import shutil
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import psutil
import pytest
import torch
import wandb
from PIL import Image
from wandb.sdk.lib.service.service_connection import ServiceConnection

from sr_experiments.metrics import METRICS
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.tracking.artifacts import sources_of, use_sources
from sr_experiments.tracking.wandb_run import start_wandb, tags_of
from tests.conftest import ROOT, TINY_GAN
from tests.wandb_sessions import sessions

FALLING = ["optim.learning_rate=0.2", "optim/schedule=constant", "optim.ema_decay=null"]  # each step makes it worse


def logged_in_csv(folder: Path, key: str) -> list[float]:
    rows = (line.split(",") for line in (folder / "metrics.csv").read_text().splitlines())
    return [float(value) for _, _, metric, value in rows if metric == key]


class Error(ImageMetric):
    """A metric of which less is better, that needs no weights."""

    higher_is_better = False
    convention = "mean absolute difference"

    def per_image(self, sr, hr):
        return (self.prepare(sr) - self.prepare(hr)).abs().flatten(1).mean(1)


@pytest.fixture
def error(monkeypatch):
    monkeypatch.setitem(METRICS, "error", Error)
    return "++metrics.error.name=error"


def test_wandb_offline_file_holds_all_there_is_to_see(train):
    folder = train(*TINY_GAN, "logger=wandb", "logger.tags=[mine,mine,gan]")
    [session] = sessions(folder)
    assert session.config["model"]["features"] == 8
    assert session.config["loss"]["name"] == "gan"
    assert list(session.run.tags) == ["bicubic", "gan", "mine", "msrresnet", "sample", "vanilla", "x4"]
    assert (session.run.job_type, session.run.run_group) == ("train", "")
    assert set(session.logged("loss/pixel")) == set(session.logged("speed/samples_per_second")) == {1, 2, 3, 4}
    assert set(session.logged("gan/margin")) == {2, 3, 4}
    assert set(session.logged("val/sample/psnr_y")) == {2, 4}
    assert len(session.history) == 4  # what has the same step is one row
    pictures = session.logged("samples")
    assert set(pictures) == {2, 4} and "dB" in pictures[2]["captions"][0]
    assert all((session.folder / "files" / name).is_file() for name in pictures[2]["filenames"])
    assert session.exit_code == 0 and session.summary["state"] == "finished"


def test_a_run_ends_only_when_wandb_has_written_its_file(train, monkeypatch):
    """W&B's process writes the file, on a busy machine after `finish` has returned; `sr sync` may be waiting for it."""
    told = ServiceConnection.inform_finish

    def busy(connection, run_id):
        service = psutil.Process(connection._proc._process.pid)
        service.suspend()
        Timer(0.5, service.resume).start()
        told(connection, run_id)

    monkeypatch.setattr(ServiceConnection, "inform_finish", busy)
    [session] = sessions(train("logger=wandb"))
    assert session.config["model"]["features"] == 8
    assert session.exit_code == 0 and session.summary["state"] == "finished"


def test_wandb_gets_one_table_of_images_with_their_metrics(train):
    folder = train("logger=wandb", "callbacks.samples.count=2", "callbacks.samples.size=32")
    [session] = sessions(folder)
    [(step, table)] = session.logged("samples_table").items()
    assert step == 4
    [artifact] = [a for a in session.artifacts if a.type == "run_table"]
    files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents}
    assert all(session.folder in file.parents for file in files.values())  # not in the user's home
    content = json.loads(next(file for name, file in files.items() if name.endswith(".table.json")).read_text())
    assert content["columns"][:7] == ["image", "step", "lr", "bicubic", "sr", "hr", "error"]
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    assert len(rows) == table["nrows"] == 2 and len({row["image"] for row in rows}) == 2
    assert all(row["image"].startswith("sample/") and row["step"] == 4 for row in rows)
    assert [(row["lr"]["width"], row["sr"]["width"], row["error"]["width"]) for row in rows] == [(8, 32, 32)] * 2
    for key in ("psnr_y", "psnr_y_bicubic", "ssim_rgb"):  # both images of the set are in the table
        mean = sum(row[key] for row in rows) / 2
        assert mean == pytest.approx(logged_in_csv(folder, f"val/sample/{key}")[-1], abs=1e-6)


def test_wandb_summary_keeps_the_best_over_all_sessions_of_a_run(train, error):
    folder = train("logger=wandb", error, *FALLING)
    train(f"resume={folder}", "trainer.max_steps=6")
    first, second = sessions(folder)
    for key, best, take in (("psnr_y", "max", max), ("error", "min", min)):
        values = logged_in_csv(folder, f"val/sample/{key}")
        assert take(values) not in values[1:]  # so that a summary of the last session alone would be another
        assert getattr(first.metrics[f"val/sample/{key}"], best)
        assert first.summary[f"val/sample/{key}"] == {best: take(values[:2]), "last": values[1]}
        assert second.summary[f"val/sample/{key}"] == {best: take(values), "last": values[2]}
    assert second.summary["best/step"] == 2
    assert second.summary["best/sample/psnr_y"] == max(logged_in_csv(folder, "val/sample/psnr_y"))


def test_wandb_run_goes_on_under_its_id_and_repeats_no_step(train, tmp_path):
    folder = train("logger=wandb", "trainer.max_steps=2", "optim/schedule=constant")
    last = folder / "checkpoints" / "last.ckpt"
    shutil.copy(last, tmp_path / "early.ckpt")
    train(f"resume={folder}", "trainer.max_steps=5")
    shutil.copy(tmp_path / "early.ckpt", last)  # as if it had been killed at step 5, saved last at 2
    train(f"resume={folder}", "trainer.max_steps=4")  # and once more, before it got that far again
    shutil.copy(tmp_path / "early.ckpt", last)
    train(f"resume={folder}", "trainer.max_steps=7")
    first, second, third, fourth = sessions(folder)
    assert len({session.run.run_id for session in (first, second, third, fourth)}) == 1
    assert [sorted(s.logged("loss/pixel")) for s in (first, second, third, fourth)] == [[1, 2], [3, 4, 5], [], [6, 7]]
    assert third.history == []
    assert logged_in_csv(folder, "loss/pixel")[:5] == [
        value for session in (first, second) for value in session.logged("loss/pixel").values()
    ]


def test_wandb_checkpoints_say_what_they_are_and_where_they_come_from(train):
    source = train("logger=wandb", *FALLING, name="source")
    [before] = sessions(source)
    assert before.models()["best"]["step"] == 2 and before.models()["last"]["step"] == 4
    assert before.models()["latest"]["file"] == "last.ckpt"
    values = logged_in_csv(source, "val/sample/psnr_y")
    assert [before.models()[alias]["metrics"]["val/sample/psnr_y"] for alias in ("best", "last")] == values
    assert before.models()["best"]["generator"]["features"] == 8
    train(f"resume={source}", "trainer.max_steps=5")  # replaces last.ckpt before it is uploaded
    [entry] = next(a for a in before.artifacts if "last" in a.aliases).manifest.contents
    assert torch.load(entry.local_path, weights_only=True)["sr_experiments"]["step"] == 4

    folder = train("logger=wandb", f"init_from={source}")
    [after] = sessions(folder)
    [said] = after.config["initialised_from"]
    assert said["wandb_run"] == before.run.run_id and said["file"] == "best.ckpt"
    assert said["artifact"] == f"checkpoint-{before.run.run_id}:best"
    assert after.models()["best"]["initialised_from"] == [said]

    used = []
    online = SimpleNamespace(
        settings=SimpleNamespace(mode="online"), entity="me", use_artifact=lambda name, type: used.append((name, type))
    )
    parts = sources_of({"fnet": str(source / "checkpoints" / "last.ckpt"), "srnet": "elsewhere.pth"})
    use_sources(online, parts)
    assert used == [(f"me/sr_experiments/checkpoint-{before.run.run_id}:last", "model")]
    assert [part["part"] for part in parts] == ["fnet", "srnet"]


@pytest.mark.slow
def test_gradient_histograms_change_no_bit_also_over_a_stop(train):
    options = [*TINY_GAN, "optim/schedule=constant", "optim.accumulate=2", "optim.clip_norm=0.1"]
    plain = train(*options, "trainer.max_steps=6", name="plain")
    watched = train(*options, "logger=wandb", "logger.watch=gradients", name="watched")
    train(f"resume={watched}", "trainer.max_steps=6")
    own, other = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True) for f in (plain, watched))
    for name, tensor in own["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name]), name
    first, second = sessions(watched)
    shown = first.logged("gradients/generator/body.0")
    assert set(shown) == {2, 4} and set(second.logged("gradients/discriminator/features.0")) == {6}
    assert len(shown[2]["bins"]) == len(shown[2]["values"]) + 1
    weights = [t for name, t in own["state_dict"].items() if name.startswith("generator.body.0.")]
    assert sum(shown[2]["values"]) == sum(weight.numel() for weight in weights)
    assert -0.1 <= shown[2]["bins"][0] < shown[2]["bins"][-1] <= 0.1  # clipped


def test_a_nan_is_alerted_once_and_ends_the_run_as_before(train, tmp_path):
    with pytest.raises(SystemExit):
        train("logger=wandb", "optim.learning_rate=1e30", "optim/schedule=constant")
    [session] = sessions(next((tmp_path / "run").glob("*/*")))
    [alert] = session.alerts
    assert alert.title.startswith("NaN: ") and len(alert.title) < 64
    assert "became" in alert.text and "optim.learning_rate" in alert.text
    assert session.exit_code == 1 and session.summary["state"] == "failed"


@pytest.mark.slow
def test_a_won_game_is_alerted_once_and_an_alert_that_fails_harms_nothing(train, monkeypatch, caplog):
    sent = []

    def alert(self, title, text, level):
        sent.append(title)
        raise ConnectionError("no network")

    monkeypatch.setattr(wandb.Run, "alert", alert)
    health = ["callbacks.gan_health.patience=1", "++callbacks.gan_health.won=0", "logger.tables=every"]
    folder = train(*TINY_GAN, "logger=wandb", *health)
    train(f"resume={folder}", "trainer.max_steps=8")
    assert len(sent) == 1 and sent[0].startswith("discriminator has won: ")
    assert sum("the discriminator has won" in record.getMessage() for record in caplog.records) > 1
    first, second = sessions(folder)
    assert second.summary["state"] == "finished"
    assert len(first.logged("samples_table")) == 2  # tables=every


def test_a_disk_that_is_full_at_the_end_of_wandb_harms_nothing(train, monkeypatch, caplog, capsys):
    original = wandb.Run.finish

    def finish(self, exit_code=None):
        logger, handler = logging.getLogger("wandb"), logging.FileHandler("/dev/full")
        logger.addHandler(handler)
        logger.warning("a line that does not fit")
        logger.removeHandler(handler)
        original(self, exit_code)
        handler.close()  # fails as W&B's own does
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wandb.Run, "finish", finish)
    folder = train("logger=wandb")
    assert json.loads((folder / "summary.json").read_text())["state"] == "finished"
    assert "W&B did not take the end of the run (OSError" in caplog.text
    assert "Logging error" not in capsys.readouterr().err


SETTINGS = {
    "init_from": None,
    "scale": 4,
    "model": {"name": "msrresnet"},
    "loss": {"name": "pixel", "terms": {}},
    "data": {"train": {"name": "sample"}},
    "degradation": {"name": "bicubic"},
}


def written(folder: Path) -> None:
    """What a run writes for W&B, without the training."""
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,time,metric,value\n")
    start_wandb(folder, SETTINGS, 0, "sr_experiments").finish("finished", None, {})


def test_the_session_lies_in_the_run_folder_when_a_process_of_another_folder_writes_it(tmp_path, monkeypatch):
    wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True))  # starts W&B's process here
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = Path("outputs/tiny/run")
    written(folder)
    [session] = sessions(folder)
    assert session.config["model"] == {"name": "msrresnet"} and session.exit_code == 0


def test_a_wandb_process_of_another_program_is_not_used(tmp_path, monkeypatch):
    """Programs that run W&B name their process in the environment of those they start."""
    wandb.teardown()  # of tests before this one
    monkeypatch.setenv("WANDB_SERVICE", f"3-1-unix-{tmp_path / 'ended'}")
    written(tmp_path / "tiny" / "run")
    [session] = sessions(tmp_path / "tiny" / "run")
    assert session.exit_code == 0


def test_tags_are_short_and_there_once():
    config = {
        "model": {"name": "frvsr", "srnet": {"name": "resnet"}},
        "loss": {"name": "gan", "terms": {"adversarial": {"name": "vanilla"}}},
        "data": {"train": {"name": "reds"}},
        "degradation": {"name": "blur_down"},
        "scale": 4,
        "stages": ["flow", "joint", "joint"],
    }
    tags = tags_of(config, ["x4", "a" * 100, "a" * 64, "", 7])
    assert tags == sorted(
        ["7", "a" * 64, "blur_down", "frvsr", "gan", "reds", "resnet", "stage:flow", "stage:joint", "vanilla", "x4"]
    )


@pytest.mark.parametrize(
    ("option", "fix"), [("watch=weights", "give gradients"), ("tables=all", "last, every or none")]
)
def test_an_unknown_option_is_one_line(train, capsys, option, fix):
    with pytest.raises(SystemExit) as stop:
        train("logger=wandb", f"logger.{option}")
    assert stop.value.code == 2
    assert fix in capsys.readouterr().err.replace("\n", " ")


def test_tensorboard_holds_scalars_and_images(train):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder = train("logger=tensorboard")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss/pixel")] == [1, 2, 3, 4]
    assert [e.step for e in events.Scalars("val/sample/psnr_y")] == [2, 4]
    assert [tag for tag in events.Tags()["images"] if tag.startswith("samples/")]
    # The HPARAMS tab: settings, and the metrics whose last values it shows; no value that was not measured.
    parts = {}
    for part in ("session_start_info", "experiment"):
        content = events.SummaryMetadata(f"_hparams_/{part}").plugin_data.content
        parts[part] = getattr(HParamsPluginData.FromString(content), part)
    shown = parts["session_start_info"].hparams
    assert shown["model.features"].number_value == 8 and shown["optim.learning_rate"].number_value == 5e-4
    assert shown["optim.betas"].string_value == "[0.9, 0.99]" and shown["trainer.channels_last"].string_value == "true"
    metrics = {metric.name.tag for metric in parts["experiment"].metric_infos}
    assert "val/sample/psnr_y" in metrics and metrics <= set(events.Tags()["scalars"])
    assert "hp_metric" not in events.Tags()["scalars"]


def test_tensorboard_shows_clips_and_time_slices(train):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train("logger=tensorboard", "stages=[sr]", "stage.sr.steps=2", video=True)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = events.Tags()["images"]
    [tag] = [tag for tag in tags if tag.startswith("clips/")]
    assert f"time_slices/{tag.removeprefix('clips/')}" in tags
    with Image.open(io.BytesIO(events.Images(tag)[-1].encoded_image_string)) as clip:
        assert clip.format == "GIF" and clip.n_frames == 6 and clip.info["duration"] == 80  # ms, of 12 a second


def test_metrics_csv_repeats_the_summary(train):
    folder = train()
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    assert rows[0] == ["step", "time", "metric", "value"]
    final = json.loads((folder / "summary.json").read_text())["final"]
    last = {metric: float(value) for step, _, metric, value in rows[1:] if step == "4"}
    assert final == {key: last[key] for key in final}


def test_the_documented_keys_are_those_that_are_logged(train):
    documented = (ROOT / "docs" / "WANDB.md").read_text()
    known = {part for part in documented.replace("`", " ").split() if "/" in part}
    folder = train(*TINY_GAN)
    keys = {line.split(",")[2] for line in (folder / "metrics.csv").read_text().splitlines()[1:]}
    for key in keys:
        generic = key.replace("val/sample/", "val/<set>/").removesuffix("_bicubic")
        assert generic in known, key


def test_sr_offline_keeps_wandb_offline(monkeypatch):
    from sr_experiments.tracking import wandb_run

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb_run, "_logged_in", lambda: True)
    monkeypatch.setenv("SR_OFFLINE", "1")
    assert wandb_run._mode() == "offline"
    monkeypatch.setenv("SR_OFFLINE", "0")
    assert wandb_run._mode() == "online"
