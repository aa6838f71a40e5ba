r"""The tables and figures of docs/RESULTS.md, from the runs of benchmarks/trainings.py.

    python benchmarks/results.py --hr Set5/HR --lr Set5/LRx4 --more BSD100 --clips Vid4 \
        --realesrgan RealESRGAN_x4plus.pth

For trainings on images, `sr evaluate` measures the best checkpoint, which was selected on photographs held out of
training; for trainings on clips and for the comparison of choices, the last one. The parts of docs/RESULTS.md between
`<!-- NAME -->` and `<!-- end -->` are rewritten, and the figures are saved in docs/results/. Parts whose trainings are
missing are left unchanged.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_figures import crops, curves, plane, stage_curves, time_slices
from trainings import CHOICES, ROOT, SEEDS, STEP_TIMES, choice_steps, latest_folders

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.evaluation.results import Result, difference
from sr_experiments.files.writing import replacing
from sr_experiments.generators.generator import Generator
from sr_experiments.runs.series import Series, read_series, training_hours

DOCUMENT = ROOT / "docs/RESULTS.md"
FIGURES = ROOT / "docs/results"
IMAGES = ("msrresnet", "gan_none", "gan_vgg16", "gan_lpips", "gan_long", "finetune")
PROJECTED = ("msrresnet", "gan_projected")
STEPS = (1, 2, 4, 8)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
ON_IMAGES = ("psnr_y", "ssim_y", "lpips_alex")
TEMPORAL = ("psnr_y", "lpips_alex", "tof", "tlp_alex", "warping_error")
HEADS = {
    "psnr_y": "Y-PSNR, dB",
    "ssim_y": "Y-SSIM",
    "lpips_alex": "LPIPS",
    "dists": "DISTS",
    "tlp_alex": "tLP100",
    "tof": "tOF",
    "warping_error": "warping error",
}
Report = dict[str, Any]
Seeds = dict[str, dict[str, float]]  # values of metrics, by seed


def main() -> None:
    """Measure, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hr", type=Path, required=True, help="folder of Set5")
    parser.add_argument("--lr", type=Path, required=True, help="folder of Set5 at a quarter of the size")
    parser.add_argument("--more", type=Path, required=True, help="folder of BSD100; LR is generated from it")
    parser.add_argument("--clips", type=Path, required=True, help="folder of clips to measure video on")
    parser.add_argument("--realesrgan", type=Path, required=True, help="initial weights of `finetune`")
    parser.add_argument("--only", nargs="+", help="names of the parts to write")
    arguments = parser.parse_args()
    FIGURES.mkdir(exist_ok=True)
    folders = latest_folders()
    with tempfile.TemporaryDirectory(prefix="sr_results_") as kept:
        parts: dict[str, Callable[[], str]] = {
            "images": lambda: images(folders, arguments, Path(kept)),
            "projected": lambda: projected(folders, arguments, Path(kept)),
            "gan": lambda: gan(folders["gan_vgg16"]),
            "choices": lambda: choices(folders, arguments.more),
            "flow": lambda: flow(folders, arguments, Path(kept)),
            "stages": lambda: stages(folders["clips_frvsr"]),
            "clips": lambda: clips(folders, arguments, Path(kept)),
            "recurrence": lambda: recurrence(folders, arguments, Path(kept)),
            "video_gan": lambda: video_gan(folders, arguments, Path(kept)),
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
    """What each image network reached on both test sets, and pictures of the first."""
    names = [name for name in IMAGES if name in folders]
    networks = {name: folders[name] / "checkpoints/best.ckpt" for name in names}
    networks["Real-ESRGAN x4plus"] = arguments.realesrgan
    return on_both_sets(networks, folders, [], arguments, kept / "images")


def projected(folders: dict[str, Path], arguments: argparse.Namespace, kept: Path) -> str:
    """A GAN whose discriminator judges pretrained features, also by a metric that it was not trained with."""
    networks = {name: folders[name] / "checkpoints/best.ckpt" for name in PROJECTED}
    return on_both_sets(networks, folders, ["dists"], arguments, kept / "projected")


def on_both_sets(
    networks: dict[str, Path],
    folders: dict[str, Path],
    metrics: Sequence[str],
    arguments: argparse.Namespace,
    pictures: Path,
) -> str:
    """A row for bicubic and each network; further metrics, and a figure of the folder's name, are of the first set."""
    further = [part for metric in metrics for part in ("--metric", metric)]
    few = evaluate(list(networks.values()), arguments.hr, "--lr", arguments.lr, "--save", pictures, *further)
    many = evaluate(list(networks.values()), arguments.more)
    few_results, many_results = (
        dict(zip(["bicubic", "bicubic, as in papers", *networks], report["results"], strict=True))
        for report in (few, many)
    )
    columns = [(few_results, key) for key in (*ON_IMAGES, *metrics)] + [(many_results, key) for key in ON_IMAGES]
    rows = []
    for name in ("bicubic", *networks):
        cost = ["", ""]
        if name in folders:
            series = read_series(folders[name] / "metrics.csv")
            cost = [f"{series['val/held_out/psnr_y'].steps[-1]}", f"{minutes(series)[-1]:.0f}"]
        cells = [number(results[name]["mean"].get(key), key) for results, key in columns]
        rows.append([name, *cost, *cells])
    shown = {name: pictures / few_results[name]["name"] for name in ("bicubic", *networks)}
    crops({"LR": arguments.lr, **shown, "HR": arguments.hr}, FIGURES / f"{pictures.name}.png")
    heads = [f"{HEADS[key]}, {'Set5' if results is few_results else 'BSD100'}" for results, key in columns]
    return table(["training", "steps", "minutes", *heads], rows)


def flow(folders: dict[str, Path], arguments: argparse.Namespace, kept: Path) -> str:
    """The flow at several numbers of steps, its distilled network at several strengths, and what they compare with."""
    ways: dict[str, tuple[str, list[Any]]] = {
        name: (name, []) for name in ("msrresnet", "gan_vgg16", "gan_lpips", "gan_long")
    }
    ways |= {f"flow, K = {steps}": ("flow", ["--steps", steps]) for steps in STEPS}
    ways |= {f"distilled, t = {strength:g}": ("distilled", ["--strength", strength]) for strength in STRENGTHS}
    rows, points = [], {}
    times = seconds({way: (folders[name] / "checkpoints/best.ckpt", options) for way, (name, options) in ways.items()})
    for way, (name, options) in ways.items():
        pictures = kept / way
        checkpoint = folders[name] / "checkpoints/best.ckpt"
        sr("upscale", arguments.lr, "-o", pictures, "-c", checkpoint, "--precision", "fp32", *options)
        report = json_of("evaluate", "--hr", arguments.hr, "--lr", arguments.lr, "--sr", pictures)
        mean = report["results"][-1]["mean"]
        points[way] = (mean["psnr_y"], mean["lpips_alex"])
        rows.append([way, *(number(mean[key], key) for key in ON_IMAGES), f"{times[way]:.2f}"])
    plane(points, FIGURES / "plane.png")
    return table(["way", *(f"{HEADS[key]}, Set5" for key in ON_IMAGES), "seconds for 128x128"], rows)


def seconds(ways: dict[str, tuple[Path, list[Any]]]) -> dict[str, float]:
    """Time of each network alone for an LR image of 128x128, fp32: in turns, median of five after one to warm up."""
    networks: dict[str, Generator] = {}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for way, (checkpoint, options) in ways.items():
        networks[way], _ = load_generator(checkpoint)
        if options:
            networks[way].sampling = {**networks[way].sampling, str(options[0]).lstrip("-"): options[1]}
    lr = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        for _ in range(6):
            for way, network in networks.items():
                started = time.perf_counter()
                network(lr)
                times[way].append(time.perf_counter() - started)
    return {way: statistics.median(of[1:]) for way, of in times.items()}


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


def choices(folders: dict[str, Path], hr: Path) -> str:
    """Each loss, augmentation and optimiser against the default: means over the seeds, with intervals."""
    reached: dict[str, Seeds] = {name: {} for name in CHOICES}
    for seed in map(str, range(SEEDS)):
        trained = {name: folders.get(f"choice_{name}_{seed}") for name in CHOICES}
        ended = {name: last(folder) for name, folder in trained.items() if folder and last(folder).is_file()}
        if "default" in ended:
            results = evaluate(list(ended.values()), hr, "--precision", "bf16")["results"][-len(ended) :]
            for name, result in zip(ended, results, strict=True):
                reached[name][seed] = result["mean"]
    if not reached["default"]:
        raise KeyError("choice_default_0")
    rows = []
    for name, seeds in reached.items():
        if seeds:
            cells = [f"{STEP_TIMES.get(name, 1):.2f}", f"{choice_steps(name)}", f"{len(seeds)}"]
            for metric in ("psnr_y", "lpips_alex"):
                cells += [number(mean_of(seeds, metric), metric), against(seeds, reached["default"], metric)]
            rows.append([name, *cells])
    heads = ["Y-PSNR, dB", "against the default", "LPIPS", "against the default"]
    return table(["choice", "time of a step", "steps", "seeds", *heads], rows)


def mean_of(seeds: Seeds, metric: str) -> float:
    """The mean over the seeds."""
    return statistics.mean(values[metric] for values in seeds.values())


def against(seeds: Seeds, others: Seeds, metric: str) -> str:
    """Difference of the means, with a 95 % interval over the seeds; nothing of the others themselves."""
    if seeds is others:
        return ""
    compared = difference(Result("", "", per_image=seeds), Result("", "", per_image=others), metric)
    digits = digits_of(metric)
    if compared is None or compared.low is None:
        return ""
    return f"{compared.mean:+.{digits}f} ± {compared.mean - compared.low:.{digits}f}"


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
    return on_clips(wanted, folders, arguments, kept / "clips", FIGURES / "vid4_time_slices.png")


def recurrence(folders: dict[str, Path], arguments: argparse.Namespace, kept: Path) -> str:
    """The same network with and without what the frames before hand on, and FRVSR, at equal steps: means of seeds."""
    wanted = {"frame by frame": "uni_frames", "FRVSR": "uni_frvsr", "BasicVSR-uni": "uni"}
    reached: dict[str, dict[str, Seeds]] = {}  # by network and clip
    pictures = kept / "recurrence"
    for seed in map(str, range(SEEDS)):
        checkpoints = [last(folders[f"{name}_{seed}"]) for name in wanted.values()]
        save = ["--save", pictures] if seed == "0" else []
        report = evaluate(checkpoints, arguments.clips, "--clips", *save)
        if save:
            names = [result["name"] for result in report["results"]]
            shown = dict(zip(["bicubic", *wanted], [pictures / name for name in names], strict=True))
            time_slices({**shown, "HR": arguments.clips}, FIGURES / "recurrence_time_slices.png")
        for result, name in zip(report["results"], ["bicubic", *wanted], strict=True):
            for clip, values in [*sorted(result["per_image"].items()), ("mean", result["mean"])]:
                reached.setdefault(name, {}).setdefault(clip, {})[seed] = values
    rows = []
    for name, clips in reached.items():
        for clip, seeds in clips.items():
            values = [number(mean_of(seeds, metric), metric) for metric in TEMPORAL]
            gained = against(seeds, reached["frame by frame"][clip], "psnr_y") if name != "bicubic" else ""
            rows.append([name, clip, *values, gained])
    return table(["network", "clip", *(HEADS[metric] for metric in TEMPORAL), "against frame by frame, dB"], rows)


def video_gan(folders: dict[str, Path], arguments: argparse.Namespace, kept: Path) -> str:
    """A video network before and after its training as a GAN."""
    wanted = {"pixel loss": "uni_0", "GAN": "uni_gan"}
    if "uni_gan" not in folders:
        raise KeyError("uni_gan")
    return on_clips(wanted, folders, arguments, kept / "video_gan", FIGURES / "video_gan_time_slices.png")


def on_clips(
    wanted: dict[str, str], folders: dict[str, Path], arguments: argparse.Namespace, pictures: Path, figure: Path
) -> str:
    """Measure the last checkpoints of trainings on the clips, each under its label; draw rows of pixels over time."""
    columns = {label: last(folders[name]) for label, name in wanted.items() if name in folders}
    report = evaluate(list(columns.values()), arguments.clips, "--clips", "--save", pictures)
    rows = []
    for result, name in zip(report["results"], ["bicubic", *columns], strict=True):
        for clip, values in [*sorted(result["per_image"].items()), ("mean", result["mean"])]:
            rows.append([name, clip, *(number(values.get(metric), metric) for metric in TEMPORAL)])
    shown = dict(zip(["bicubic", *columns], [pictures / result["name"] for result in report["results"]], strict=True))
    time_slices({**shown, "HR": arguments.clips}, figure)
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
    return json_of("evaluate", "--hr", hr, *more, *(part for checkpoint in checkpoints for part in ("-c", checkpoint)))


def json_of(*command: object) -> Report:
    """What a command writes with --json."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        sr(*command, "--json", file.name)
        return json.loads(Path(file.name).read_text())


def sr(*command: object) -> None:
    """Run `sr`."""
    subprocess.run(
        [str(Path(sys.executable).with_name("sr")), *map(str, command)], check=True, stdout=subprocess.DEVNULL
    )


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
