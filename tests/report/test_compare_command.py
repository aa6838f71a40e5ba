"""`sr compare` and `sr runs` as a user runs them, on runs trained for this and on runs in every other state."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sr_experiments.report.html import json_for_script
from tests.conftest import TINY_GAN

Make = Callable[..., Path]


def _content(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_trained_runs_become_a_page_a_table_and_json(train: Make, sr: Any, tmp_path: Path) -> None:
    runs = [train(), train("model.features=16"), train(*TINY_GAN, "val.compare_with=null")]
    page = tmp_path / "new" / "page.html"

    assert sr("compare", tmp_path / "run", "-o", page).code == 0
    told = sr("compare", "--json", *runs)
    table = sr("compare", "--table", *runs)

    content = _content(page)
    assert "model.features" in [setting["label"] for setting in content["settings"]]
    assert {run["folder"] for run in content["runs"]} == {str(run) for run in runs}
    assert content["metrics"][0] == "sample/psnr_y"
    for number, run in enumerate(content["runs"]):
        summary = json.loads((Path(run["folder"]) / "summary.json").read_text())
        value = run["metrics"]["sample/psnr_y"]
        assert value["final"] == pytest.approx(summary["final"]["val/sample/psnr_y"])
        assert value["baseline"] == pytest.approx(summary["final"]["val/sample/psnr_y_bicubic"])
        assert content["curves"]["val/sample/psnr_y"]["runs"][str(number)]["steps"] == [2, 4]
    (group,) = content["pictures"]
    assert [c["run"] for c in group["columns"] if c["run"] is not None] == [0, 1, 2]
    assert "gan/d_accuracy" in content["curves"]
    rows = json.loads(told.out)["runs"]
    assert [row["settings"]["model.features"] for row in rows] == [8, 16, 8]
    assert [row["state"] for row in rows] == ["finished"] * 3
    assert all(word in table.out for word in ("features", "psnr_y", "bicubic", "lpips_alex"))


def test_a_video_run_shows_its_clips(train: Make, sr: Any, tmp_path: Path) -> None:
    train(video=True)

    assert sr("compare", tmp_path / "run", "-o", tmp_path / "page.html").code == 0

    content = _content(tmp_path / "page.html")
    ((clip,),) = ([clip["runs"] for clip in content["clips"]],)
    assert content["media"][clip[0]["clip"]].startswith("data:video/mp4")
    assert content["media"][clip[0]["slice"]].startswith("data:image/png")
    assert len(content["pictures"]) == 1


def test_the_printed_command_repeats_the_run(train: Make, sr: Any, train_py: Any, tmp_path: Path) -> None:
    folder = train()
    sr("compare", folder, "-o", tmp_path / "page.html")
    line = _content(tmp_path / "page.html")["runs"][0]["commands"]["repeat"]

    words = shlex.split(line)
    done = train_py(*words[words.index("train") + 1 :])

    assert done.code == 0, done.err
    (again,) = set(folder.parent.iterdir()) - {folder}
    values = [json.loads((run / "summary.json").read_text())["final"] for run in (folder, again)]
    assert values[0] == values[1]


def test_a_run_that_is_being_written_is_compared(run_folder: Make, sr: Any, tmp_path: Path) -> None:
    begun = run_folder("begun")
    (begun / "summary.json").unlink()
    with (begun / "metrics.csv").open("a") as file:
        file.write("30,1700000020.0,val/s/psnr_y,3")  # and not yet the rest of 31.2

    told = sr("compare", "--json", begun, run_folder("done"))

    row = json.loads(told.out)["runs"][0]
    assert (row["state"], row["step"], row["metrics"]["s/psnr_y"]["final"]) == ("running", 20, 30.0)
    assert sr("compare", begun, "-o", tmp_path / "page.html").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "nowhere"], "nowhere does not exist"),
        (["compare", "file"], "file is a file"),
        (["compare", "empty"], "no run in"),
        (["compare", "outputs", "-o", "empty"], "empty is a folder: name the file"),
        (["compare", "outputs", "-o", "file/page.html"], "file"),
        (["compare", "outputs", "-e", "file", "-o", "page.html"], "not a file that sr evaluate --json writes"),
        (["runs", "nowhere"], "nowhere does not exist"),
        (["runs", "empty"], "no run in"),
        (["runs", "nowhere", "--watch"], "no folder nowhere"),
    ],
)
def test_mistakes_are_one_line(
    run_folder: Make, sr: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    run_folder("a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)

    told = sr(*arguments)

    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1


def test_nothing_in_the_data_ends_its_script() -> None:
    hostile = "</script><!--<script>&\u2028"

    written = json_for_script({"a": hostile})

    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"a": hostile}


def test_runs_are_listed_with_their_states(run_folder: Make, sr: Any, tmp_path: Path) -> None:
    run_folder("done")
    run_folder("broken", summary={"state": "failed", "error": "out of memory: lower data.batch_size", "step": 20})
    run_folder("going", summary={"state": "running", "step": 20})
    odd = run_folder("odd")
    (odd / "config.yaml").write_text("[")
    (odd / "summary.json").unlink()

    listed = {one["name"]: one for one in json.loads(sr("runs", tmp_path, "--json").out)}
    table = sr("runs", tmp_path).out
    compared = sr("compare", "--table", tmp_path / "outputs" / "broken").out

    assert {name: one["state"] for name, one in listed.items()} == {
        "done": "finished",
        "broken": "failed",
        "going": "running",
        "odd": "unreadable",
    }
    assert (listed["done"]["metric"], listed["done"]["best"]) == ("s/psnr_y", 30.0)
    assert listed["going"]["seconds_left"] == pytest.approx(80)  # 80 steps of one second
    assert "20/100" in table
    assert "broken failed: out of memory: lower data.batch_size" in compared
    assert all(f"{name}  {tmp_path}/outputs/{name}/2026-01-01_00-00-00\n" in table for name in listed)
    assert "out of memory: lower data.batch_size" in table


def test_watching_follows_until_ctrl_c(run_folder: Make, tmp_path: Path) -> None:
    folder = run_folder("going", summary={"state": "running", "step": 20})
    script = "from pathlib import Path; import sys; from sr_experiments.runs.listing import watch_runs\n"
    script += "watch_runs(Path(sys.argv[1]), 0.2)"
    terminal = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "200", "TTY_COMPATIBLE": "1"}
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, env=terminal) as watch:
        assert watch.stdout is not None
        shown = iter(lambda: watch.stdout.read1().decode(), "")
        assert any("20/100" in text for text in shown)
        with (folder / "metrics.csv").open("a") as file:
            file.write(f"77,{time.time()},loss,0.5\n")
        assert any("77/100" in text for text in shown)
        watch.send_signal(signal.SIGINT)
        watch.stdout.read()

    assert watch.returncode == 0
