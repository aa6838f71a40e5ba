"""The tables and figures of docs/RESULTS.md, from the runs that benchmarks/trainings.py made.

    python benchmarks/results.py --hr Set5/HR --lr Set5/LRx4 --clips Vid4

`sr evaluate` measures the last checkpoint of every training (not the best one, which would be chosen on the images
that are reported). The parts of docs/RESULTS.md between `<!-- NAME -->` and `<!-- end -->` are written anew, the
figures go to docs/results/. Parts whose trainings are missing are left as they are.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from result_figures import crops, curves, stage_curves, time_slices
from trainings import ROOT, latest_folders

from sr_experiments.files import replacing
from sr_experiments.runs.series import Series, read_series, training_hours

DOCUMENT = ROOT / "docs/RESULTS.md"
FIGURES = ROOT / "docs/results"
IMAGES = ("msrresnet", "srresnet", "rrdbnet", "msrresnet_300", "msrgan")
TEMPORAL = ("psnr_y", "ssim_y", "tof", "warping_error", "fine_detail")
HEADS = {
    "psnr_y": "Y-PSNR, dB",
    "psnr_rgb": "RGB-PSNR, dB",
    "ssim_y": "Y-SSIM",
    "fine_detail": "fine detail, dB off HR's",
    "colour_shift": "colour shift, CIEDE2000",
    "tof": "tOF",
    "warping_error": "warping error",
}
Report = dict[str, Any]


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hr", type=Path, required=True, help="the images that the trainings were validated on")
    parser.add_argument("--lr", type=Path, required=True, help="the same at a quarter of the size")
    parser.add_argument("--clips", type=Path, required=True, help="folder of clips to measure video on")
    parser.add_argument("--only", nargs="+", help="parts to make, by name")
    arguments = parser.parse_args()
    FIGURES.mkdir(exist_ok=True)
    folders = latest_folders()
    with tempfile.TemporaryDirectory(prefix="sr_results_") as kept:
        parts: dict[str, Callable[[], str]] = {
            "images": lambda: images(folders, arguments, Path(kept)),
            "steps": lambda: by_step(folders),
            "gan": lambda: gan(folders["msrgan"]),
            "stages": lambda: stages(folders["clips_frvsr"]),
            "clips": lambda: clips(folders, arguments, Path(kept)),
            "ablation": lambda: ablation(folders),
        }
        for name, make in parts.items():
            if arguments.only and name not in arguments.only:
                continue
            try:
                text = make()
            except KeyError as missing:
                print(f"{name}: no training {missing}, left as it is")  # noqa: T201
                continue
            write_part(name, text)
            print(f"{name}\n\n{text}\n")  # noqa: T201


# -- parts -------------------------------------------------------------------------------------------------


def images(folders: dict[str, Path], arguments: argparse.Namespace, kept: Path) -> str:
    """What each image network reached, and its pictures."""
    names = [name for name in IMAGES if folders[name]]
    pictures = kept / "images"
    report = evaluate([last(folders[name]) for name in names], arguments.hr, "--lr", arguments.lr, "--save", pictures)
    rows = []
    metrics = ("psnr_y", "psnr_rgb", "ssim_y", "fine_detail", "colour_shift")
    for result, name in zip(report["results"], ["bicubic", "bicubic, as in papers", *names], strict=True):
        cost = ["", ""]
        if name in folders:
            series = read_series(folders[name] / "metrics.csv")
            cost = [f"{series['val/set5/psnr_y'].steps[-1]}", f"{minutes(series)[-1]:.0f}"]
        rows.append([name, *cost, *(number(result["mean"].get(metric), metric) for metric in metrics)])
    columns = {"LR": arguments.lr, "bicubic": pictures / "bicubic"}
    for result, name in list(zip(report["results"][2:], names, strict=True)):
        if name != "msrresnet_300":
            columns[name] = pictures / result["name"]
    crops({**columns, "HR": arguments.hr}, FIGURES / "images.png")
    curves(
        {name: (read_series(folders[name] / "metrics.csv"), "val/set5/psnr_y") for name in names},
        FIGURES / "image_curves.png",
    )
    return table(["training", "steps", "minutes", *(HEADS[metric] for metric in metrics)], rows)


def by_step(folders: dict[str, Path]) -> str:
    """Y-PSNR by step, of RRDBNet's training and of MSRResNet's of equal length beside the longer ones."""
    rows = []
    shown: dict[str, Sequence[int]] = {
        "rrdbnet": (50, 100, 200, 300),
        "msrresnet_300": (50, 100, 200, 300),
        "msrresnet": (200, 500, 1000, 1500, 2000),
        "srresnet": (200, 500, 1000, 1500, 2000),
    }
    for name, steps in shown.items():
        series = read_series(folders[name] / "metrics.csv")
        at = dict(zip(series["val/set5/psnr_y"].steps, series["val/set5/psnr_y"].values, strict=True))
        ssim = dict(zip(series["val/set5/ssim_y"].steps, series["val/set5/ssim_y"].values, strict=True))
        spent = dict(zip(series["val/set5/psnr_y"].steps, minutes(series), strict=True))
        rows += [[name, f"{step}", f"{spent[step]:.1f}", f"{at[step]:.2f}", f"{ssim[step]:.4f}"] for step in steps]
    return table(["training", "step", "minutes", "Y-PSNR, dB", "Y-SSIM"], rows)


def gan(folder: Path) -> str:
    """How the game between the networks went, in thirds of the training after the warm-up."""
    series = read_series(folder / "metrics.csv")
    steps = series["gan/margin"].steps
    rows = []
    for third in np.array_split(np.array(steps), 3):
        mean = {
            key: statistics.mean(
                value for step, value in zip(series[key].steps, series[key].values, strict=True) if step in set(third)
            )
            for key in ("gan/d_real", "gan/d_fake", "gan/margin", "gan/d_accuracy")
        }
        rows.append([f"{third[0]} to {third[-1]}", *(f"{value:.2f}" for value in mean.values())])
    return table(["steps", "D(real), logit", "D(fake), logit", "margin", "pairs that D orders rightly"], rows)


def stages(folder: Path) -> str:
    """What each stage of the staged training had reached at its end."""
    series = read_series(folder / "metrics.csv")
    ends = stage_ends(folder)
    keys = ("flow_epe", "warp_psnr", "psnr_y", "tof", "warping_error")
    heads = ("flow error, LR px", "PSNR of the warped LR frame, dB", "Y-PSNR, dB", "tOF", "warping error")
    rows = []
    for name, end in ends.items():
        spent = [minute for step, minute in zip(series_of(series, "warp_psnr").steps, minutes(series), strict=False)
                 if step <= end]  # fmt: skip
        values = [value_at(series, key, end) for key in keys]
        cells = [number(value, key) for key, value in zip(keys, values, strict=True)]
        rows.append([name, f"{end}", f"{spent[-1]:.0f}" if spent else "", *cells])
    bicubic = [value_at(series, f"{key}_bicubic", max(ends.values())) for key in keys]
    rows.append(["bicubic", "", "", *(number(value, key) for key, value in zip(keys, bicubic, strict=True))])
    stage_curves(series, ends, FIGURES / "stages.png")
    return table(["stage", "its last step", "minutes", *heads], rows)


def clips(folders: dict[str, Path], arguments: argparse.Namespace, kept: Path) -> str:
    """Recurrent against frame by frame on clips that none was trained on."""
    wanted = {
        "frame by frame": "clips_msrresnet",
        "frame by frame, 500 steps more": "clips_frames",
        "FRVSR, after the joint stage": "clips_frvsr",
    }
    columns = {label: last(folders[name]) for label, name in wanted.items() if name in folders}
    pictures = kept / "clips"
    report = evaluate(list(columns.values()), arguments.clips, "--clips", "--save", pictures)
    rows = []
    for result, name in zip(report["results"], ["bicubic", *columns], strict=True):
        for clip, values in [*sorted(result["per_image"].items()), ("mean", result["mean"])]:
            rows.append([name, clip, *(number(values.get(metric), metric) for metric in TEMPORAL)])
    shown = dict(zip(["bicubic", *columns], [pictures / result["name"] for result in report["results"]], strict=True))
    time_slices({**shown, "HR": arguments.clips}, FIGURES / "vid4_time_slices.png")
    return table(["network", "clip", *(HEADS[metric] for metric in TEMPORAL)], rows)


def ablation(folders: dict[str, Path]) -> str:
    """In stages or jointly from scratch: three seeds each, at equal steps and at equal time."""
    staged = [read_series(folders[f"staged_{seed}"] / "metrics.csv") for seed in range(3)]
    joint = [read_series(folders[f"joint_{seed}"] / "metrics.csv") for seed in range(3)]
    last_step = series_of(staged[0], "psnr_y").steps[-1]
    time = statistics.mean(minutes(series)[-1] for series in staged)
    joint_steps = series_of(joint[0], "psnr_y").steps
    by_time = max(
        (step for step in joint_steps if statistics.mean(minutes_at(series, step) for series in joint) <= time),
        default=joint_steps[0],
    )
    rows = []
    for name, all_series, step in (
        ("in stages", staged, last_step),
        ("joint from scratch, equal steps", joint, last_step),
        ("joint from scratch, equal time", joint, by_time),
    ):
        spent = statistics.mean(minutes_at(series, step) for series in all_series)
        cells = []
        for metric in ("psnr_y", "ssim_y", "tof", "warping_error", "flow_epe"):
            values = [value_at(series, metric, step) for series in all_series]
            known = [value for value in values if value is not None]
            digits = digits_of(metric)
            cells.append(f"{statistics.mean(known):.{digits}f} ± {statistics.stdev(known):.{digits}f}")
        rows.append([name, f"{step}", f"{spent:.0f}", *cells])
    heads = ["Y-PSNR, dB", "Y-SSIM", "tOF", "warping error", "flow error, LR px"]
    named = {f"in stages, seed {i}": (series, "val/sample_video/psnr_y") for i, series in enumerate(staged)}
    named |= {f"joint, seed {i}": (series, "val/sample_video/psnr_y") for i, series in enumerate(joint)}
    curves(named, FIGURES / "ablation.png")
    return table(["training", "step", "minutes", *heads], rows)


# -- measuring ---------------------------------------------------------------------------------------------


def evaluate(checkpoints: Sequence[Path], hr: Path, *more: object) -> Report:
    """`sr evaluate` of several networks, as it writes it."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [Path(sys.executable).with_name("sr"), "evaluate", "--hr", hr, "--json", file.name, *more]
        command += [part for checkpoint in checkpoints for part in ("-c", checkpoint)]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        return json.loads(Path(file.name).read_text())


def last(folder: Path) -> Path:
    """The last checkpoint of a run."""
    return folder / "checkpoints/last.ckpt"


def series_of(series: dict[str, Series], metric: str) -> Series:
    """Of the sample clips."""
    return series[f"val/sample_video/{metric}"]


def value_at(series: dict[str, Series], metric: str, step: int) -> float | None:
    """The metric's last value up to a step, None where there is none at the step's stage."""
    of = series.get(f"val/sample_video/{metric}")
    found = [value for at, value in zip(of.steps, of.values, strict=True) if at == step] if of else []
    return found[-1] if found else None


def minutes(series: dict[str, Series]) -> list[float]:
    """Minutes of training, validation included, at each validation."""
    hours = training_hours(series)
    key = next(key for key in series if key.startswith("val/"))
    return [60 * hours[time] for time in series[key].times]


def minutes_at(series: dict[str, Series], step: int) -> float:
    """Minutes of training up to a step."""
    hours = training_hours(series)
    key = next(key for key in series if key.startswith("val/"))
    return next(60 * hours[time] for at, time in zip(series[key].steps, series[key].times, strict=True) if at >= step)


def stage_ends(folder: Path) -> dict[str, int]:
    """The last step of each stage, by name."""
    import yaml

    config = yaml.safe_load((folder / "config.yaml").read_text())
    ends, total = {}, 0
    for name in config["stages"]:
        total += config["stage"][name]["steps"]
        ends[name] = total
    return ends


# -- tables ------------------------------------------------------------------------------------


def digits_of(metric: str) -> int:
    """After the point."""
    return 2 if "psnr" in metric or metric in ("fine_detail", "colour_shift", "flow_epe") else 4


def number(value: float | None, metric: str) -> str:
    """A cell."""
    return "" if value is None else f"{value:.{digits_of(metric)}f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_part(name: str, text: str) -> None:
    """Put it between its marks in the document."""
    document = DOCUMENT.read_text()
    before, mark, rest = document.partition(f"<!-- {name} -->\n")
    if not mark:
        sys.exit(f"{DOCUMENT.name} has no <!-- {name} -->")
    after = rest[rest.index("<!-- end -->") :]
    with replacing(DOCUMENT) as temporary:
        temporary.write_text(f"{before}{mark}\n{text}\n\n{after}")


if __name__ == "__main__":
    main()
