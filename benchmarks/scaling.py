"""Growth of time and memory with the size of images, the length of clips, the files of a dataset, the runs compared.

    python benchmarks/scaling.py --json scaling.json --plot scaling.png      # about 20 minutes on two cores
    python benchmarks/scaling.py --only clips --clip-frames 150 15000        # ten minutes at 25 frames per second
    python benchmarks/scaling.py --only memory                               # the largest jobs, with full networks
    python benchmarks/scaling.py --only sizes                                # a folder of images of 2000 sizes

Each figure is for a command in its own process: the seconds from start to end, and its peak resident memory
(VmHWM, so Linux only). `slope` is d log(seconds) / d log(size) over the larger half of the sizes, for the seconds in
excess of the smallest size: 1 is linear. Images and clips consist of noise, which no encoder can compress.
"""

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from sr_experiments.generators import GENERATORS

ROOT = Path(__file__).resolve().parents[1]
TRAIN = [sys.executable, str(ROOT / "train.py")]
SR = [sys.executable, "-c", "from sr_experiments.cli import main; main()"]
SMALL = {"features": 16, "blocks": 2}  # so that much can be enlarged in minutes
TINY_RUN = [
    "model=msrresnet",
    "model.features=8",
    "model.blocks=1",
    "data.batch_size=2",
    "data.crop=32",
    "data.num_workers=2",
    "trainer.max_steps=1",
    "trainer.accelerator=cpu",
    "logger=none",
    "++data.val.sample.name=sample",
    "++data.val.sample.limit=1",
    "++data.val.sample.size=64",
]
Result = dict[str, Any]


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--image-sides", nargs="+", type=int, default=[256, 512, 1024, 2048], help="sides of the images, in LR pixels"
    )
    parser.add_argument("--clip-frames", nargs="+", type=int, default=[50, 100, 200, 400, 800])
    parser.add_argument("--dataset-files", nargs="+", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--compare-runs", nargs="+", type=int, default=[10, 25, 50, 100, 200])
    parser.add_argument("--memory-frames", type=int, default=90, help="frames of the 480x270 clip in `memory`")
    parser.add_argument("--memory-side", type=int, default=4096, help="side of the LR image in `memory`")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[20, 2000], help="numbers of image sizes in a folder, at most 2705"
    )
    parser.add_argument(
        "--precisions", nargs="+", choices=["bf16", "fp32", "int8"], default=["bf16", "fp32", "int8"], help="of `sizes`"
    )
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--plot", type=Path, help="file to write the plot to")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "torch": torch.__version__}
    for part in arguments.only:
        with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
            figures[part] = PARTS[part](Path(name), arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.plot:
        draw(figures, arguments.plot)


def images(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """`sr upscale` of one image, by its side."""
    checkpoint = weights(folder, "msrresnet", SMALL)

    def upscaled(side: int) -> Result:
        source = noise_image(folder / f"{side}.png", side)
        command = [*SR, "upscale", source, "-o", folder / f"{side}_x4.png", "-c", checkpoint]
        return one("image", side**2, f"{side}x{side}", command, folder)

    return with_slope(warm(upscaled, arguments.image_sides))


def clips(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """`sr upscale` of a video, by its frames."""
    checkpoint = weights(folder, "frvsr", {"srnet": {"name": "resnet", **SMALL}})

    def upscaled(frames: int) -> Result:
        source = noise_clip(folder / f"{frames}.mp4", 160, 96, frames)
        command = [*SR, "upscale", source, "-o", folder / f"{frames}_x4.mp4", "-c", checkpoint]
        return one("clip", frames, f"{frames} frames of 160x96", command, folder)

    return with_slope(warm(upscaled, arguments.clip_frames))


def datasets(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """`train.py data=images` from its start to the end of its first step, by files: the first time, and again."""
    results, data = [], folder / "data"
    one("dataset", 0, "none, so that Python has compiled its files", [*TRAIN, *TINY_RUN], folder)
    for files in arguments.dataset_files:
        noise_files(data, files)
        for time_of in ("first time", "again"):
            root, start = folder / f"{files}_{time_of[:5]}", time.time()
            place = ["data=images", f"data.train.root={data}", f"output_dir={root}"]
            result = one("dataset", files, f"{files} files, {time_of}", [*TRAIN, *place, *TINY_RUN], folder)
            with next(root.glob("*/*/metrics.csv")).open(newline="") as file:
                result["seconds"] = float(next(csv.DictReader(file))["time"]) - start
            print(f"{'':9} {result['seconds']:.1f} s to the end of the first step")  # noqa: T201
            results.append({**result, "time": time_of})
        shutil.rmtree(data)
    return results


def runs(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """`sr compare`, by runs: copies of one."""
    trained = folder / "trained"
    command = [*TRAIN, f"output_dir={trained}", *TINY_RUN, "trainer.max_steps=20", "trainer.val_every=5"]
    one("training", 1, "a run to copy", command, folder)
    (source,) = trained.glob("*/*")

    def compared(count: int) -> Result:
        place = folder / f"{count}"
        for i in range(count):
            shutil.copytree(source, place / f"run{i}" / source.name, dirs_exist_ok=True)
        result = one("compare", count, f"{count} runs", [*SR, "compare", place, "-o", folder / f"{count}.html"], folder)
        return {**result, "page_bytes": (folder / f"{count}.html").stat().st_size}

    return with_slope(warm(compared, arguments.compare_runs))


def memory(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """The most memory of `sr upscale` with whole networks, of a 480x270 clip and of a large image."""
    clip = noise_clip(folder / "clip.mp4", 480, 270, arguments.memory_frames)
    image = noise_image(folder / "image.png", arguments.memory_side)
    jobs = [
        ("msrresnet", clip, "clip_x4.mp4", 1.5),
        ("frvsr", clip, "clip_frvsr_x4.mp4", 1.5),
        ("msrresnet", image, "image_x4.png", 4.0),
    ]
    results = []
    for name, source, output, wanted in jobs:
        command = [*SR, "upscale", source, "-o", folder / output, "-c", weights(folder, name, {})]
        result = one("memory", 1, f"{name}, {output} (wanted: at most {wanted} GB)", command, folder)
        results.append({**result, "network": name, "wanted_bytes": wanted * 1e9})
    return results


def sizes(folder: Path, arguments: argparse.Namespace) -> list[Result]:
    """The most memory of `sr upscale` of a folder by the sizes of its images, each of which is another."""
    random, results = np.random.default_rng(0), []
    every = [(height, width) for height in range(12, 64) for width in range(12, 64)]
    random.shuffle(every)
    every.insert(0, (64, 64))  # the largest is in each folder
    noise = soft_noise(64, 64)
    for precision in arguments.precisions:
        of_precision = []
        network = weights_options(folder, precision)
        for count in (arguments.sizes[0], *arguments.sizes):  # the first use also prepares and keeps the network
            source = folder / f"sizes_{count}"
            source.mkdir(exist_ok=True)
            for height, width in every[:count]:
                cv2.imwrite(str(source / f"{height}x{width}.png"), noise[:height, :width])
            command = [*SR, "upscale", source, "-o", folder / f"{count}_{precision}", *network, "--overwrite"]
            of_precision.append(one("sizes", count, f"{count} sizes, {precision}", command, folder))
        more = of_precision[-1]["bytes"] - of_precision[1]["bytes"]
        print(f"{'':9} {more / 1e6:.0f} MB more (wanted: at most 100)")  # noqa: T201
        results += of_precision
    return results


def weights_options(folder: Path, precision: str) -> list[object]:
    """Options of `sr upscale` for Compact in a precision; in int8 it is quantised first, whatever that costs."""
    file = weights(folder, "compact", {"convolutions": 16})
    if precision != "int8":
        return ["-c", file, "--precision", precision]
    target = folder / "compact.int8.safetensors"
    least = ["--images", "8", "--max-drop", "99", "--fidelity", "0"]
    one("sizes", 1, "sr quantize, with the package nncf", [*SR, "quantize", file, "-o", target, *least], folder)
    return ["-c", target]


PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Result]]] = {
    "images": images,
    "clips": clips,
    "datasets": datasets,
    "runs": runs,
    "memory": memory,
    "sizes": sizes,
}


def one(kind: str, size: int, words: str, command: Sequence[object], folder: Path) -> Result:
    """Run a command; its seconds and the most memory of its process.

    Raises:
        RuntimeError: it failed.
    """
    compiled = Path(tempfile.gettempdir()) / f"sr_benchmark_{os.getuid()}_python"
    own = {"SR_CACHE": str(folder / "cache"), "WANDB_MODE": "offline", "PYTHONPYCACHEPREFIX": str(compiled)}
    environment = {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": ""}
    log = folder / "log.txt"
    most, start = 0, time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file, cwd=folder, env=environment)
        while process.poll() is None:
            most = max(most, resident(process.pid))
            time.sleep(0.05)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed: {log.read_text()[-2000:]}")
    print(f"{kind:9} {words:55} {seconds:8.1f} s {most / 1e9:7.2f} GB", flush=True)  # noqa: T201
    return {"size": size, "what": words, "seconds": seconds, "bytes": most}


def warm(run: Callable[[int], Result], sizes: Sequence[int]) -> list[Result]:
    """All sizes; the first is run once before, so that Python has compiled its files."""
    run(sizes[0])
    return [run(size) for size in sizes]


def resident(pid: int) -> int:
    """Bytes that were resident at most in a process so far."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def with_slope(results: list[Result]) -> list[Result]:
    """Print how steeply the seconds grow."""
    if len(results) > 2:
        base, middle, last = results[0], results[len(results) // 2], results[-1]
        ratio = (last["seconds"] - base["seconds"]) / (middle["seconds"] - base["seconds"])
        sizes = (last["size"] - base["size"]) / (middle["size"] - base["size"])
        last["slope"] = float(np.log(ratio) / np.log(sizes))
        print(f"{'':9} slope {last['slope']:.2f} (1 is linear)")  # noqa: T201
    return results


def weights(folder: Path, name: str, options: dict[str, Any]) -> Path:
    """A file with an untrained network."""
    torch.manual_seed(0)
    path = folder / f"{name}.pth"
    torch.save({"params": GENERATORS[name](**options).state_dict()}, path)
    return path


def noise_image(path: Path, side: int) -> Path:
    """A PNG of soft noise."""
    cv2.imwrite(str(path), soft_noise(side, side))
    return path


def noise_clip(path: Path, width: int, height: int, frames: int) -> Path:
    """A video of soft noise that moves by a pixel a frame."""
    large = soft_noise(height + 64, width + 64)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            shift = abs(i % 128 - 64)
            moved = np.ascontiguousarray(large[shift : shift + height, shift : shift + width])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "bgr24")))
        file.mux(stream.encode())
    return path


def noise_files(folder: Path, count: int) -> None:
    """So many PNG files of 48x48, a thousand a folder."""
    content = cv2.imencode(".png", soft_noise(48, 48))[1].tobytes()
    for i in range(count):
        if i % 1000 == 0:
            (folder / f"{i // 1000:03}").mkdir(parents=True)
        (folder / f"{i // 1000:03}" / f"{i:06}.png").write_bytes(content)


def soft_noise(height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 3)."""
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1.5)


def draw(figures: dict[str, Any], path: Path) -> None:
    """Seconds, and memory where it matters, against size; a dashed line is linear growth."""
    from matplotlib.figure import Figure

    shown = [part for part in ("images", "clips", "datasets", "runs") if part in figures]
    labels = {"images": "LR pixels", "clips": "frames", "datasets": "files", "runs": "runs compared"}
    figure = Figure(figsize=(4.2 * len(shown), 3.6), layout="constrained")
    for i, part in enumerate(shown, 1):
        axes = figure.add_subplot(1, len(shown), i)
        for time_of in dict.fromkeys(result.get("time") for result in figures[part]):
            points = [result for result in figures[part] if result.get("time") == time_of]
            sizes, seconds = [p["size"] for p in points], [p["seconds"] for p in points]
            axes.plot(sizes, seconds, "o-", label=f"seconds, {time_of}" if time_of else "seconds")
            if not time_of and len(points) > 1:
                slope = (seconds[-1] - seconds[0]) / (sizes[-1] - sizes[0])
                axes.plot([0, sizes[-1]], [seconds[0] - slope * sizes[0], seconds[-1]], "k--", lw=0.8, label="linear")
        axes.plot(sizes, [p["bytes"] / 1e9 for p in points], "s:", color="tab:red", label="most memory, GB")
        axes.set(xlabel=labels[part], title=part, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
