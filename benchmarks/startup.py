"""How long the commands take to start: --help, --cfg job, sr --help, and the default run until its first step is done.

    python benchmarks/startup.py --json startup.json

Each command is a process of its own, in turn with the others, timed from its start to its end; the run until the time
that metrics.csv gives its first step (trainer.max_steps=1, else as it comes). Python's compiled files lie in a folder
of their own, made by a first round that isn't counted: where nothing may be written beside the packages
(PYTHONDONTWRITEBYTECODE), every start is as slow as that first one, which is given too.
"""

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRAIN = [sys.executable, str(Path(__file__).resolve().parents[1] / "train.py")]
SR = [sys.executable, "-c", "from sr_experiments.cli import main; main()"]
WANTED = {"train.py --help": 0.7, "train.py --cfg job": 1.5, "sr --help": 0.7, "default run to its first step": 15.0}
COMMANDS = {
    "train.py --help": [*TRAIN, "--help"],
    "train.py --cfg job": [*TRAIN, "--cfg", "job"],
    "sr --help": [*SR, "--help"],
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="of each command")
    parser.add_argument("--runs", type=int, default=3, help="starts of the default run; 0 to leave it out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
        figures = measured(Path(name), arguments.repeats, arguments.runs)
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measured(root: Path, repeats: int, runs: int) -> dict[str, Any]:
    """Wall seconds, and seconds of the processor, of every start."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(root / "compiled"), "WANDB_MODE": "offline"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    processor: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):
        for name, command in COMMANDS.items():
            before = seconds_of_children()
            start = time.perf_counter()
            subprocess.run(command, env=environment, cwd=root, check=True, stdout=subprocess.DEVNULL)
            wall[name].append(time.perf_counter() - start)
            processor[name].append(seconds_of_children() - before)
    if runs:
        wall["default run to its first step"] = [first_step(root, environment) for _ in range(runs + 1)]
    kept = {name: values[1:] for name, values in wall.items()}
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": {name: statistics.median(values) for name, values in kept.items()},
        "processor_seconds": {name: statistics.median(values[1:]) for name, values in processor.items()},
        "nothing_compiled_seconds": {name: values[0] for name, values in wall.items()},
        "wanted": WANTED,
        "all": kept,
    }


def first_step(root: Path, environment: dict[str, str]) -> float:
    """Seconds from the command to the end of the first step."""
    folder = Path(tempfile.mkdtemp(dir=root))
    start = time.time()
    subprocess.run(
        [*TRAIN, "trainer.max_steps=1", f"output_dir={folder}"],
        env=environment,
        cwd=root,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    with next(folder.glob("*/*/metrics.csv")).open(newline="") as file:
        return float(next(csv.DictReader(file))["time"]) - start


def seconds_of_children() -> float:
    """Of the processor, of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    for name, value in figures["seconds"].items():
        spread = f"{min(figures['all'][name]):.2f} to {max(figures['all'][name]):.2f}"
        cold = f"{figures['nothing_compiled_seconds'][name]:.1f} with nothing compiled"
        print(f"{name:30} {value:6.2f} s ({spread}; {cold}; wanted: at most {WANTED[name]})")  # noqa: T201


if __name__ == "__main__":
    main()
