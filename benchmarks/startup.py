"""How long the commands take to start: --help, --cfg job, sr upscale of a small image, a run to its first step.

    python benchmarks/startup.py --json startup.json
    python benchmarks/startup.py --before ../earlier   # interleaved with another checkout, with ratios to it

Each command runs in its own process, interleaved with the others, and is measured in wall-clock and CPU seconds: on a
machine with other load, wall-clock seconds say little. `sr upscale` processes a 64x64 photograph with MSRResNet:
"first" with an empty SR_CACHE, "later" with the cache of the first. The default run is timed until metrics.csv has
its first step (trainer.max_steps=1, otherwise with default settings). Python's compiled files are in a separate folder,
created by a first round that isn't counted. If compiled files can't be written (PYTHONDONTWRITEBYTECODE), every start
is as slow as that first one, which is reported too.
"""

import argparse
import contextlib
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

HERE = Path(__file__).resolve().parents[1]
SR = [sys.executable, "-c", "from sr_experiments.cli import main; main()"]
WANTED = {"train.py --help": 0.7, "train.py --cfg job": 1.5, "sr --help": 0.7, "default run to its first step": 15.0}
RATIOS = {  # wanted, of the processor's seconds
    "sr upscale, first": 0.5,
    "sr upscale, later": 0.25,
    "default run to its first step": 0.7,
}
POLL = 0.03  # seconds


@dataclass
class Starts:
    """Wall seconds and the processor's of all starts of one command; the first is left out of the medians."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="repetitions of each command")
    parser.add_argument("--runs", type=int, default=3, help="starts of the default run; 0 to skip it")
    parser.add_argument("--only", default="", help="only commands whose names contain this")
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
        builds = {"": HERE} | ({"before": arguments.before.resolve()} if arguments.before else {})
        figures = measured(Path(name), builds, arguments.repeats, arguments.runs, arguments.only)
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measured(root: Path, builds: dict[str, Path], repeats: int, runs: int, only: str) -> dict[str, Any]:
    """Start every command, whose name has `only` in it, of every build so many times, in turns."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(root / "compiled"), "WANDB_MODE": "offline"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    make_inputs(root, environment)
    starts: dict[str, dict[str, Starts]] = {build: {} for build in builds}
    for turn in range(max(repeats, runs) + 1):
        for build, checkout in builds.items():
            own = {**environment, "PYTHONPATH": str(checkout)}
            for name, command in commands(root, checkout).items():
                times = runs if "step" in name else repeats
                if only not in name or not times or turn > times:
                    continue
                cache = root / f"cache_{build}_{turn if 'first' in name else 'later'}"
                one = starts[build].setdefault(name, Starts())
                wall, processor = timed(command, {**own, "SR_CACHE": str(cache)}, root, "step" in name)
                one.wall.append(wall)
                one.processor.append(processor)
    medians = {
        build: {
            name: {
                "seconds": statistics.median(one.wall[1:]),
                "processor_seconds": statistics.median(one.processor[1:]),
                "nothing_compiled_seconds": one.wall[0],
                "all_processor_seconds": one.processor[1:],
                "all_seconds": one.wall[1:],
            }
            for name, one in of_build.items()
        }
        for build, of_build in starts.items()
    }
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "wanted": WANTED,
        "wanted_ratios": RATIOS,
        "now": medians[""],
        **({"before": medians["before"]} if "before" in medians else {}),
    }


def commands(root: Path, checkout: Path) -> dict[str, list[str]]:
    """Return the commands of a checkout, by name."""
    train = [sys.executable, str(checkout / "train.py")]
    upscale = [*SR, "upscale", str(root / "small.png"), "-o", str(root / "large.png"), "--overwrite"]
    upscale += ["--checkpoint", str(root / "msrresnet.pth"), "--device", "cpu"]
    return {
        "train.py --help": [*train, "--help"],
        "train.py --cfg job": [*train, "--cfg", "job"],
        "sr --help": [*SR, "--help"],
        "sr upscale, first": upscale,
        "sr upscale, later": upscale,
        "default run to its first step": [*train, "trainer.max_steps=1"],
    }


def make_inputs(root: Path, environment: dict[str, str]) -> None:
    """Make the image and the network, which isn't trained: that changes no time."""
    import skimage.data

    Image.fromarray(np.ascontiguousarray(skimage.data.astronaut()[:64, 160:224])).save(root / "small.png")
    script = (
        "import sys, torch; from sr_experiments.generators import GENERATORS\n"
        "torch.save({'params': GENERATORS['msrresnet']().state_dict()}, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", script, str(root / "msrresnet.pth")], env=environment, cwd=HERE, check=True)


def timed(command: list[str], environment: dict[str, str], root: Path, to_first_step: bool) -> tuple[float, float]:
    """Return wall seconds, and the processor's of the process and its children, to its end or to its first step."""
    folder = Path(tempfile.mkdtemp(dir=root))
    if to_first_step:
        command = [*command, f"output_dir={folder}"]
    start = time.time()
    process = psutil.Popen(command, env=environment, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended, used = None, 0.0
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if ended is None:
            used = processor_seconds(process) or used
            if to_first_step and (moment := first_step(folder)):
                ended = moment
        time.sleep(POLL)
    if ended is None:
        ended = time.time()
        used = processor_seconds(process) or used
    if process.wait():
        raise SystemExit(f"failed: {' '.join(command)}")
    return ended - start, used


def first_step(folder: Path) -> float | None:
    """Return when the first step was done, once it was."""
    for file in folder.glob("*/*/metrics.csv"):
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                return float(row["time"])
    return None


def processor_seconds(process: psutil.Process) -> float:
    """Of a process, its ended children and those that still run; 0 if none is there any more."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = one.cpu_times()
                total += times.user + times.system
                if one.pid == process.pid:
                    total += times.children_user + times.children_system
    return total


def report(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    for name, now in figures["now"].items():
        spread = f"{min(now['all_seconds']):.2f} to {max(now['all_seconds']):.2f}"
        cold = f"{now['nothing_compiled_seconds']:.1f} with nothing compiled"
        line = f"{name:30} {now['seconds']:6.2f} s ({spread}; {cold}"
        line += f"; wanted: at most {WANTED[name]})" if name in WANTED else ")"
        line += f"; {now['processor_seconds']:.2f} s of the processor"
        if "before" in figures:
            before = figures["before"][name]["processor_seconds"]
            wanted = f", wanted: at most {RATIOS[name]}" if name in RATIOS else ""
            line += f", {now['processor_seconds'] / before:.2f} of {before:.2f} before{wanted}"
        print(line)  # noqa: T201


if __name__ == "__main__":
    main()
