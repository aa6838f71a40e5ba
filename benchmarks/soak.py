"""Does a long run grow? Monitors memory, open files, threads and processes of `python train.py` during training.

    python benchmarks/soak.py --minutes 60 --json soak.json --plot soak.png

One real process trains a tiny GAN on a folder of PNG files with two data workers, validates every 200 steps with
separate workers, logs every 10 steps to metrics.csv and to W&B (offline, with gradient histograms and images),
and saves checkpoints. Every few seconds the resources of the process and its children are read from /proc. The first
quarter of the time is a warm-up. A line is fitted through the rest; its slope per 1000 steps is the growth, reported
with the change from the first third to the last. At the end the run is asked to stop, as with Ctrl-C.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from scipy.stats import theilslopes

from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import TRAINING, VALIDATION, sample_paths
from sr_experiments.runs.series import last_moments

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 0.25  # share of the time
SIDE = 160  # pixels of the images, small so that steps are what takes the time
UNITS = {
    "training_megabytes": "MB, training process",
    "children_megabytes": "MB, W&B and data workers",
    "open_files": "open files of all",
    "threads": "threads of all",
    "processes": "processes",
}
# Growth for each 1000 steps above which the run is said to grow.
ALLOWED = {
    "training_megabytes": 0.5,
    "children_megabytes": 0.5,
    "open_files": 0.05,
    "threads": 0.05,
    "processes": 0.05,
}
RUN = [
    "model=msrresnet",
    "model.features=8",
    "model.blocks=1",
    "loss=gan",
    "loss.discriminator.features=4",
    "loss.terms.perceptual.start=10",
    "loss.terms.adversarial.start=10",
    "loss.terms.adversarial.ramp=10",
    "loss/perceptual=none",
    "data=images",
    "data.crop=32",
    "data.batch_size=2",
    "data.num_workers=2",
    "trainer.accelerator=cpu",
    "trainer.max_steps=1000000000",
    "trainer.val_every=200",
    "trainer.checkpoint_every=100",
    "callbacks.samples.count=2",
    "logger=wandb",
    "logger.watch=gradients",
    "logger.tables=every",
]


def main() -> None:
    """Train, watch, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="duration of the training")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--json", type=Path, help="file to write the results and all samples to")
    parser.add_argument("--plot", type=Path, help="PNG to write: resources over the steps")
    parser.add_argument(
        "overrides", nargs="*", help="overrides for the training, after --: other networks, data, loggers"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr_soak_") as name:
        samples, ended = watched(
            Path(name), arguments.overrides, arguments.minutes * 60, arguments.every, arguments.json
        )
    figures = {**figures_of(samples), "ended_as_asked": ended}
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps({**figures, "samples": samples}, indent=1) + "\n")
    if arguments.plot:
        plot(samples, arguments.plot)
    if not ended:
        sys.exit("the run did not last: it ended by itself, or not as asked")


def figures_of(samples: list[dict[str, float]]) -> dict[str, Any]:
    """What the samples say."""
    return {
        "minutes": round(samples[-1]["seconds"] / 60, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "steps": samples[-1]["step"],
        "growth": growth(samples),
    }


def watched(
    root: Path, overrides: list[str], seconds: float, every: float, kept: Path | None
) -> tuple[list[dict[str, float]], bool]:
    """What the run held, each moment a dictionary, kept in a file too; and whether it lasted and ended as asked."""
    for part, names in {"train": TRAINING, "val": VALIDATION}.items():
        make_images(root / part, names)
    data = [f"data.train.root={root / 'train'}", f"+data.val.soak.root={root / 'val'}"]
    environment = {**os.environ, "WANDB_MODE": "offline", "SR_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py", *RUN, *data, f"output_dir={root / 'outputs'}", *overrides]
    samples: list[dict[str, float]] = []
    with (root / "said").open("w") as said:
        run = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            passed, before = 0.0, time.monotonic()
            while run.poll() is None and passed < seconds:
                time.sleep(every)
                now = time.monotonic()
                passed += min(now - before, 2 * every)  # a machine that was halted meanwhile has not trained
                before = now
                with contextlib.suppress(psutil.Error, StopIteration):
                    folder = next((root / "outputs").glob("*/*"))
                    samples.append(look(psutil.Process(run.pid), folder, passed))
                if kept and len(samples) % 60 == 1:
                    kept.write_text(json.dumps({**figures_of(samples), "samples": samples}, indent=1) + "\n")
            lasted = run.poll() is None
            run.send_signal(signal.SIGTERM)
            ended = run.wait(300) == 128 + signal.SIGTERM
        finally:
            run.kill()
    if not samples:
        sys.exit(f"the run did not start: {(root / 'said').read_text()[-2000:]}")
    return samples, lasted and ended


def look(run: psutil.Process, folder: Path, seconds: float) -> dict[str, float]:
    """What a process and its children hold now."""
    children = []
    for child in run.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # a validation's worker that has just ended
            # Data workers share most of their memory with the training process: what is their own counts.
            children.append((child.memory_full_info().uss, child.num_fds(), child.num_threads()))
    moments = last_moments(folder / "metrics.csv")
    return {
        "seconds": round(seconds, 1),
        "step": moments[-1][0] if moments else 0,
        "training_megabytes": run.memory_info().rss / 1e6,
        "children_megabytes": sum(memory for memory, _, _ in children) / 1e6,
        "open_files": run.num_fds() + sum(files for _, files, _ in children),
        "threads": run.num_threads() + sum(threads for _, _, threads in children),
        "processes": 1 + len(children),
    }


def growth(samples: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure after the warm-up: growth for each 1000 steps, medians of the first and the last third."""
    settled = [one for one in samples if one["seconds"] >= WARM_UP * samples[-1]["seconds"]]
    third = max(1, len(settled) // 3)
    steps = np.array([one["step"] for one in settled]) / 1000
    found = {}
    for key in UNITS:
        values = [one[key] for one in settled]
        # The median of the slopes between all pairs: moments when a validation's workers come or go pull at no line.
        slope = float(theilslopes(values, steps)[0]) if np.ptp(steps) > 0 else 0.0
        found[key] = {
            "per_1000_steps": slope,
            "first_third": statistics.median(values[:third]),
            "last_third": statistics.median(values[-third:]),
            "most": max(values),
            "flat": slope <= ALLOWED[key],
        }
    return found


def report(figures: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"{figures['steps']:.0f} steps in {figures['minutes']:g} minutes; after a quarter of them:")  # noqa: T201
    print(f"{'':28}{'first third':>12}{'last third':>12}{'most':>10}{'per 1000 steps':>16}")  # noqa: T201
    for key, unit in UNITS.items():
        of = figures["growth"][key]
        print(  # noqa: T201
            f"{unit:28}{of['first_third']:12.1f}{of['last_third']:12.1f}{of['most']:10.1f}{of['per_1000_steps']:+16.4f}"
            f"  {'flat' if of['flat'] else 'GROWS'}"
        )


def plot(samples: list[dict[str, float]], path: Path) -> None:
    """Draw each figure over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(UNITS), 1, sharex=True, figsize=(8, 10), layout="constrained")
    for row, (key, unit) in zip(rows, UNITS.items(), strict=True):
        row.plot([one["step"] for one in samples], [one[key] for one in samples], linewidth=0.8)
        row.set_title(unit, fontsize=9, loc="left")
        row.set_ylim(bottom=0)
    rows[-1].set_xlabel("step")
    figure.savefig(path, dpi=100)


def make_images(folder: Path, names: tuple[str, ...]) -> None:
    """The middle of photographs, as PNG files."""
    folder.mkdir()
    for path in sample_paths(names):
        image = read_image(path, 3)
        top, left = ((side - SIDE) // 2 for side in image.shape[:2])
        Image.fromarray(image[top : top + SIDE, left : left + SIDE]).save(folder / f"{path.stem}.png")


if __name__ == "__main__":
    main()
