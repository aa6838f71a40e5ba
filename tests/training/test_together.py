"""Runs side by side: folders of their own, and one process in each."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir

from tests.conftest import ROOT

FOLDERS = """
import sys
from pathlib import Path
from sr_experiments.runs.folder import new_run_folder
print("ready", flush=True)
sys.stdin.readline()
for _ in range(50):
    print(new_run_folder(Path(sys.argv[1]), "same"))
"""
CLAIMS = """
import sys, time
from pathlib import Path
from sr_experiments.errors import SRError
from sr_experiments.runs.lock import run_lock
print("ready", flush=True)
sys.stdin.readline()
try:
    with run_lock(Path(sys.argv[1])):
        print("mine", flush=True)
        sys.stdin.readline()
except SRError as error:
    print(error, flush=True)
"""


def side_by_side(script: str, place: Path, count: int) -> list[subprocess.Popen]:
    """Processes that begin at the same moment."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(place)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for one in started:
        assert one.stdout.readline() == "ready\n"
    for one in started:
        one.stdin.write("go\n")
        one.stdin.flush()
    return started


def test_runs_of_one_second_and_one_name_get_folders_of_their_own(tmp_path):
    made = [one.communicate()[0].split() for one in side_by_side(FOLDERS, tmp_path, 3)]
    folders = [folder for of in made for folder in of]
    assert len(folders) == len(set(folders)) == 150
    seconds = {re.match(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", Path(folder).name)[0] for folder in folders}
    assert len(seconds) < 150  # some were made in the same second


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    killed = {"host": socket.gethostname(), "pid": 1, "started": 0.0}
    (tmp_path / "running.json").write_text(json.dumps(killed))
    started = side_by_side(CLAIMS, tmp_path, 4)
    said = [one.stdout.readline().strip() for one in started]
    assert said.count("mine") == 1
    assert sum(f"{tmp_path} is being trained by another process" in line for line in said) == 3
    for one in started:
        one.communicate("done\n")
    assert not (tmp_path / "running.json").exists()


def test_sweeps_of_one_second_get_folders_of_their_own():
    composed = []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed += [compose("train", return_hydra_config=True) for _ in range(2)]
    folders = [str(cfg.hydra.sweep.dir) for cfg in composed]
    assert folders[0] != folders[1]
    assert str(composed[0].hydra.sweep.dir) == folders[0]
