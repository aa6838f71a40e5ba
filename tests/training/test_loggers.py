"""What the loggers wrote, read back from the files themselves."""

import json
import struct
from pathlib import Path

import pytest

from tests.conftest import TINY_GAN


def records(folder: Path):
    """Protobuf records of a W&B offline run file: LevelDB's log format after a seven-byte header."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = next(folder.glob("wandb/*run-*/*.wandb")).read_bytes()
    assert data[:4] == b":W&B"
    position, pending = 7, b""
    while position < len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        payload = data[position + 7 : position + 7 + length]
        position += 7 + length
        pending = payload if kind in (1, 2) else pending + payload
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(pending)
            yield record


def nested(items):
    """History items with their dotted keys put back into dictionaries."""
    tree: dict = {}
    for item in items:
        *path, last = list(item.nested_key) or [item.key]
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = json.loads(item.value_json)
    return tree


def test_wandb_offline_file_holds_config_metrics_images_and_artifact(train):
    folder = train(*TINY_GAN, "logger=wandb", "logger.tags=[mine]")
    config, history, metrics, artifacts, tags = {}, [], {}, [], []
    for record in records(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            tags = list(record.run.tags)
        elif kind == "config":
            config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "history":
            history.append(nested(record.history.item))
        elif kind == "metric":
            metrics[record.metric.name] = record.metric.summary
        elif kind == "artifact":
            artifacts.append(list(record.artifact.aliases))
        elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
            artifacts.append(list(record.request.log_artifact.artifact.aliases))
    assert config["model"]["features"] == 8
    assert config["loss"]["name"] == "gan"
    assert {"mine", "msrresnet", "gan", "x4"} <= set(tags)
    by_step = {h["trainer/global_step"]: h for h in history if "loss/pixel" in h}
    assert set(by_step) == {1, 2, 3, 4}
    assert "gan/margin" in by_step[4]
    validated = [h for h in history if "val/sample/psnr_y" in h]
    assert [h["trainer/global_step"] for h in validated] == [2, 4]
    assert metrics["val/sample/psnr_y"].max
    pictures = [h["samples"] for h in history if "samples" in h]
    assert len(pictures) == 2
    assert "dB" in pictures[0]["captions"][0]
    run_files = next(folder.glob("wandb/*run-*")) / "files"
    assert all((run_files / name).is_file() for name in pictures[0]["filenames"])
    assert {alias for aliases in artifacts for alias in aliases} >= {"best", "last"}


def test_wandb_run_goes_on_under_its_id(train):
    folder = train("logger=wandb")
    train(f"resume={folder}", "trainer.max_steps=6")
    names = {path.name.rsplit("-", 1)[-1] for path in (folder / "wandb").glob("*run-*-*")}
    assert len(names) == 1


def test_tensorboard_holds_scalars_and_images(train):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train("logger=tensorboard")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss/pixel")] == [1, 2, 3, 4]
    assert [e.step for e in events.Scalars("val/sample/psnr_y")] == [2, 4]
    assert [tag for tag in events.Tags()["images"] if tag.startswith("samples/")]


def test_metrics_csv_repeats_the_summary(train):
    folder = train()
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    assert rows[0] == ["step", "time", "metric", "value"]
    final = json.loads((folder / "summary.json").read_text())["final"]
    last = {metric: float(value) for step, _, metric, value in rows[1:] if step == "4"}
    assert final == {key: last[key] for key in final}
