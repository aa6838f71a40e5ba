"""Real-ESRGAN's degradation: batched tensors compared with the same steps image by image in OpenCV and NumPy.

    python benchmarks/degradations.py --json degradations.json

Both apply all of conf/degradation/real_esrgan.yaml, including USM sharpening of HR, to the same crops of photographs:
batches of 12 HR crops of 128x128, the median of several batches. The OpenCV version is written like the data loaders of
SR projects: kernels with NumPy and SciPy, `filter2D`, `resize`, NumPy's noise, `imencode`. Both can use all cores.
With a GPU, the milliseconds for a batch of 48 HR crops of 256x256 are also measured.
"""

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from scipy import special

from sr_experiments.data.degradations import DEGRADATIONS
from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import TRAINING, sample_paths
from sr_experiments.registry import build

BATCH, CROP, SCALE = 12, 128, 4
CONFIG = Path(__file__).resolve().parents[1] / "conf/degradation/real_esrgan.yaml"
FAMILIES = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
MODES = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="batches per method")
    parser.add_argument("--threads", type=int, help="threads of torch and OpenCV; by default all cores")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
        cv2.setNumThreads(arguments.threads)

    degradation = second_order()
    hr = crops(BATCH, CROP)
    images = [np.ascontiguousarray(image) for image in hr.permute(0, 2, 3, 1).numpy()]  # (H, W, 3) each
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)

    times = alternating(
        {
            "batched": lambda: degradation(hr, generator),
            "opencv": lambda: np.stack([degraded(image, rng) for image in images]),
        },
        arguments.repeats,
    )
    medians = {name: statistics.median(values) for name, values in times.items()}
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch",
        "batch": BATCH,
        "crop": CROP,
        "milliseconds": medians,
        "all": times,
        "ratio": medians["opencv"] / medians["batched"],
    }
    if torch.cuda.is_available():
        figures["device"] = torch.cuda.get_device_name()
        figures["cuda_milliseconds"] = milliseconds(degradation, 48, 256, "cuda", arguments.repeats)
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def second_order() -> Any:
    """Real-ESRGAN's degradation."""
    return build("degradation", DEGRADATIONS, yaml.safe_load(CONFIG.read_text()), scale=SCALE)


def crops(count: int, side: int) -> torch.Tensor:
    """(count, 3, side, side) of the photographs of scikit-image, 255ths."""
    photographs = [read_image(path) for path in sample_paths(TRAINING)]
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        top, left = (int(rng.integers(size - side + 1)) for size in photograph.shape[:2])
        made.append(torch.from_numpy(photograph[top : top + side, left : left + side].copy()).permute(2, 0, 1))
    return torch.stack(made).float() / 255


def alternating(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each, in turn, so that another program's load falls on both."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(-2, repeats):
        for name, do in work.items():
            start = time.perf_counter()
            do()
            if repeat >= 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def milliseconds(degradation: Any, batch: int, crop: int, device: str, repeats: int) -> float:
    """Of a batch of HR crops on a device, sharpening included; the median."""
    hr, generator = crops(batch, crop).to(device), torch.Generator().manual_seed(0)
    times = []
    for repeat in range(-3, repeats):
        start = time.perf_counter()
        degradation(hr, generator)[..., :1, :1].cpu()  # waits for the GPU
        if repeat >= 0:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def report(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    for name, value in figures["milliseconds"].items():
        spread = f"{min(figures['all'][name]):.1f} to {max(figures['all'][name]):.1f}"
        print(f"{name:8} {value:8.1f} ms a batch of {BATCH} HR crops of {CROP}x{CROP} ({spread})")  # noqa: T201
    print(f"opencv / batched: {figures['ratio']:.2f} (wanted: at least 3)")  # noqa: T201
    if "cuda_milliseconds" in figures:
        print(f"{figures['device']}: {figures['cuda_milliseconds']:.1f} ms a batch of 48 HR crops of 256x256")  # noqa: T201


# -- image by image ----------------------------------------------------------------------------------------


def degraded(hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """LR of one image (H, W, 3), float32 in [0, 1]."""
    height, width = (side // SCALE for side in hr.shape[:2])
    image = cv2.filter2D(usm(hr), -1, lens(rng, 3.0), borderType=cv2.BORDER_REFLECT_101)
    factor = resize_factor(rng, (0.2, 0.7, 0.1), 0.15, 1.5)
    image = resized(image, int(hr.shape[0] * factor), int(hr.shape[1] * factor), rng)
    image = noisy(image, rng, 30, 3.0)
    image = compressed(image, rng)
    if rng.random() < 0.8:
        image = cv2.filter2D(image, -1, lens(rng, 1.5), borderType=cv2.BORDER_REFLECT_101)
    factor = resize_factor(rng, (0.3, 0.4, 0.3), 0.3, 1.2)
    image = resized(image, int(height * factor), int(width * factor), rng)
    image = noisy(image, rng, 25, 2.5)
    if rng.random() < 0.5:
        image = compressed(ringing(resized(image, height, width, rng), rng), rng)
    else:
        image = ringing(resized(compressed(image, rng), height, width, rng), rng)
    return (image * 255).round().clip(0, 255) / 255


def usm(image: np.ndarray) -> np.ndarray:
    """Real-ESRGAN's sharpening."""
    residual = image - cv2.GaussianBlur(image, (51, 51), 0)
    mask = (np.abs(residual) * 255 > 10).astype(np.float32)
    soft = cv2.GaussianBlur(mask, (51, 51), 0)
    return soft * np.clip(image + 0.5 * residual, 0, 1) + (1 - soft) * image


def lens(rng: np.random.Generator, largest: float) -> np.ndarray:
    """A kernel of the blurs."""
    size = int(rng.choice(np.arange(7, 22, 2)))
    if rng.random() < 0.1:
        return low_pass(rng.uniform(math.pi / (3 if size < 13 else 5), math.pi), size)
    family = rng.choice(FAMILIES, p=(0.45, 0.25, 0.12, 0.03, 0.12, 0.03))
    sigma_x, sigma_y = rng.uniform(0.2, largest, 2)
    angle = rng.uniform(-math.pi, math.pi)
    if not family.endswith("aniso"):
        sigma_y, angle = sigma_x, 0.0
    axis = np.arange(size) - size // 2
    x, y = np.meshgrid(axis, axis)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    distance = (along / sigma_x) ** 2 + (across / sigma_y) ** 2
    low, high = (0.5, 4.0) if family.startswith("generalized") else (1.0, 2.0)
    beta = rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)
    if family.startswith("plateau"):
        kernel = 1 / (distance**beta + 1)
    else:
        kernel = np.exp(-0.5 * distance ** (beta if family.startswith("generalized") else 1))
    return (kernel / kernel.sum()).astype(np.float32)


def low_pass(cutoff: float, size: int) -> np.ndarray:
    """A sinc kernel."""
    axis = np.arange(size) - size // 2
    radius = np.hypot(*np.meshgrid(axis, axis)).clip(1e-9)
    kernel = cutoff * special.j1(cutoff * radius) / (2 * math.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return (kernel / kernel.sum()).astype(np.float32)


def ringing(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The final sinc filter."""
    if rng.random() >= 0.8:
        return image
    kernel = low_pass(rng.uniform(math.pi / 3, math.pi), int(rng.choice(np.arange(7, 22, 2))))
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def resize_factor(rng: np.random.Generator, kinds: tuple[float, ...], smallest: float, largest: float) -> float:
    """Up, down or keep."""
    kind = rng.choice(3, p=kinds)
    return (rng.uniform(1, largest), rng.uniform(smallest, 1), 1.0)[kind]


def resized(image: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """To this size, in any mode."""
    return cv2.resize(image, (width, height), interpolation=MODES[rng.integers(3)])


def noisy(image: np.ndarray, rng: np.random.Generator, sigma: float, scale: float) -> np.ndarray:
    """Gaussian or Poisson noise, in colour or grey."""
    grey = rng.random() < 0.4
    if rng.random() < 0.5:
        shape = (*image.shape[:2], 1) if grey else image.shape
        noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(rng.uniform(1, sigma) / 255)
    else:
        clean = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] if grey else image
        clean = (clean * 255).round().clip(0, 255) / 255
        photons = 2 ** math.ceil(math.log2(len(np.unique(clean))))
        noise = (rng.poisson(clean * photons) / np.float32(photons) - clean) * np.float32(rng.uniform(0.05, scale))
    return (image + noise).clip(0, 1).astype(np.float32)


def compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG."""
    levels = (image * 255).round().clip(0, 255).astype(np.uint8)
    code = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])[1]
    return cv2.imdecode(code, cv2.IMREAD_COLOR).astype(np.float32) / 255


if __name__ == "__main__":
    main()
