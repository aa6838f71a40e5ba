import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sr_experiments.errors import SRError
from sr_experiments.runs.lock import FILE, run_lock
from sr_experiments.runs.reading import find_runs, names_of, read_run
from sr_experiments.runs.series import Series, last_moments, read_series, thinned, training_hours
from sr_experiments.runs.state import QUIET, read_summary, state_of

HEADER = "step,time,metric,value\r\n"
Make = Callable[..., Path]


def _state(folder: Path) -> str:
    return state_of(folder, read_summary(folder)).state


def _killed(folder: Path) -> None:
    """Make it look as if nobody had written for long."""
    long_ago = time.time() - 2 * QUIET
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))


def test_a_torn_last_line_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes((HEADER + "10,1.0,loss,0.5\r\n20,2.0,loss,0.25\r\n30,3.0,loss,0.1").encode())  # of 0.125

    series = read_series(path)

    assert series["loss"] == Series([10, 20], [1.0, 2.0], [0.5, 0.25])
    assert last_moments(path) == [(10, 1.0), (20, 2.0)]


@pytest.mark.parametrize("content", [b"", b"step,ti", b"10,1.0,loss\r\nx,y,z,a\r\n", b"\xff\x00\r\n"])
def test_files_in_any_state_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)

    assert read_series(path) == {}
    assert read_series(tmp_path / "missing.csv") == {}


def test_last_moments_need_only_the_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(HEADER + "".join(f"{step},{step / 2},loss,0.123456789\n" for step in range(100_000)))

    assert last_moments(path)[-1] == (99_999, 99_999 / 2)
    assert len(last_moments(path)) < 5000


def test_pauses_between_sessions_are_no_hours_of_training() -> None:
    times = [0.0, 60.0, 120.0, 120.0 + 86400, 180.0 + 86400]

    hours = training_hours({"loss": Series([1, 2, 3, 4, 5], times, [0.0] * 5)})

    assert [round(h * 60) for h in hours.values()] == [0, 1, 2, 3, 4]


def test_thinned_curves_keep_their_spikes_and_ends() -> None:
    values = [0.0] * 10_000
    values[3333], values[7000] = 9.0, float("nan")

    kept = thinned(Series(list(range(10_000)), [0.0] * 10_000, values), 100)

    assert {0, 3333, 9999} <= set(kept)
    assert len(kept) <= 102


def test_runs_are_found_anywhere_below_and_once(run_folder: Make, tmp_path: Path) -> None:
    a, b = run_folder("a"), run_folder("b")
    (a / "wandb" / "files").mkdir(parents=True)
    (a / "wandb" / "files" / "config.yaml").write_text("{}")

    assert find_runs([tmp_path, a]) == [a, b]
    assert names_of([a, b]) == ["a", "b"]


def test_names_are_as_long_as_they_need_to_be() -> None:
    one, other = "2026-01-01_00-00-00", "2026-01-02_00-00-00"
    places = [f"a/{one}", f"a/{other}", f"b/{one}", f"sweeps/{one}/0_a", f"sweeps/{other}/0_a", "kept/mine"]

    names = names_of([Path("/outputs", place) for place in places])

    assert names == [f"a/{one}", f"a/{other}", "b", f"{one}/0_a", f"{other}/0_a", "mine"]


def test_places_without_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(SRError, match="does not exist: give run folders"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(SRError, match="no run in"):
        find_runs([tmp_path])


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "a: ${", "\x00"])
def test_an_odd_config_is_one_line(run_folder: Make, content: str) -> None:
    folder = run_folder("a")
    (folder / "config.yaml").write_text(content)

    with pytest.raises(SRError, match=r"config\.yaml") as error:
        read_run(folder, "a")
    assert "\n" not in str(error.value)


def test_a_run_that_has_only_begun_is_read(run_folder: Make) -> None:
    folder = run_folder("a")
    (folder / "metrics.csv").unlink()
    (folder / "summary.json").write_text('{"state": "runn')

    run = read_run(folder, "a")

    assert (run.state.state, run.state.step, run.final(), run.best()) == ("running", 0, {}, {})


def test_sets_that_are_no_longer_validated_have_no_last_value(run_folder: Make) -> None:
    rows = {"val/kept/psnr_y": [29.0, 30.0], "val/gone/psnr_y": [19.0, 20.0]}
    folder = run_folder("a", metrics=rows, summary={"step": 30, "final": {"val/kept/psnr_y": 30.0}})
    assert read_run(folder, "a").final() == {"val/kept/psnr_y": 30.0}
    with (folder / "metrics.csv").open("a") as file:  # logged after the summary was written
        file.write("40,1767225600.0,val/kept/psnr_y,31\n40,1767225600.0,val/new/psnr_y,25\n")
    assert read_run(folder, "a").final() == {"val/kept/psnr_y": 31.0, "val/new/psnr_y": 25.0}


def test_the_end_of_a_run_is_what_its_summary_says(run_folder: Make) -> None:
    for state in ("finished", "failed", "interrupted"):
        assert _state(run_folder(state, summary={"state": state})) == state


def test_a_silent_run_was_killed(run_folder: Make) -> None:
    folder = run_folder("a", summary={"state": "running"})
    assert _state(folder) == "running"

    _killed(folder)

    assert _state(folder) == "interrupted"


def test_a_resumed_run_is_running_again(run_folder: Make) -> None:
    folder = run_folder("a", summary={"state": "interrupted"})
    with (folder / "metrics.csv").open("a") as file:
        file.write(f"30,{time.time() + 5},loss,0.5\n")

    assert _state(folder) == "running"


def test_running_json_tells_the_living_from_the_dead(run_folder: Make) -> None:
    folder = run_folder("a", summary={"state": "running"})

    with run_lock(folder):
        _killed(folder)  # a validation of half an hour
        assert _state(folder) == "running"
    assert not (folder / FILE).exists()

    script = "import sys, os; from pathlib import Path; from sr_experiments.runs.lock import run_lock\n"
    script += "with run_lock(Path(sys.argv[1])): os._exit(9)"
    subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    (folder / "train.log").write_text("just now")
    assert (folder / FILE).exists()
    assert _state(folder) == "interrupted"


def test_running_json_of_another_machine_leaves_it_to_the_clock(run_folder: Make) -> None:
    folder = run_folder("a", summary={"state": "running"})
    (folder / FILE).write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 0.0}))

    assert _state(folder) == "running"
    _killed(folder)
    assert _state(folder) == "interrupted"
