"""Training crops per second: from PNG files, from an LMDB of PNG sub-images as in BasicSR, from a pack; 8 and 16 bits.

    python benchmarks/data.py --json data.json

2K images (2040x1356, as in DIV2K) are generated from scikit-image's photographs, with noise so that they compress like
photographs; those of 16 bits are the same before rounding. All are read in turn by a DataLoader with the same number of
workers, in batches of 16 crops of 128x128, with rotation and flips. The LMDB contains sub-images of 480x480 at every
240 pixels, as created by BasicSR's extract_subimages.py and make_lmdb_from_imgs, but without BasicSR's conversion of
whole sub-images to float. Crops of 16 bits are uint16, those of 8 bits uint8. Each result is the median of several
passes, without the start of the workers. The LMDB needs `pip install lmdb`.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from sr_experiments.data.image_files import read_image
from sr_experiments.data.images import ImageFolder
from sr_experiments.data.packs.packing import pack
from sr_experiments.data.sample import TRAINING, VALIDATION, sample_paths
from sr_experiments.data.training_crops import cut

CROP, BATCH, SCALE = 128, 16, 4
HEIGHT, WIDTH = 1356, 2040
SUB_IMAGE, STEP = 480, 240
SIZES = {"small": (12, 3.0, 3), "full": (100, 10.0, 5)}  # images, seconds a pass, passes


class SubImages(Dataset[torch.Tensor]):
    """Crops of sub-images in an LMDB, read as BasicSR does."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self.environment: Any = None

    def __getitem__(self, n: int) -> torch.Tensor:
        """Sample number n."""
        import lmdb

        if self.environment is None:
            self.environment = lmdb.open(str(self.folder), readonly=True, lock=False, readahead=False)
        rng = np.random.default_rng((0, n))
        with self.environment.begin(write=False) as transaction:
            content = transaction.get(str(int(rng.integers(self.count))).encode())
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        top, left = (int(place) for place in rng.integers(SUB_IMAGE - CROP + 1, size=2))
        return cut(image, top, left, CROP, int(rng.integers(8)))


def main() -> None:
    """Make the data, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small", help="small: 12 images; full: 100 images")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="workers of the DataLoader")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    count, seconds, passes = SIZES[arguments.size]
    with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
        root = Path(name)
        megabytes, deep_megabytes = (make_images(root / f"images{bits}", count, bits) for bits in (8, 16))
        sizes = f"{megabytes / count:.1f} MB each as PNG of 8 bits, {deep_megabytes / count:.1f} of 16"
        print(f"{count} images of {WIDTH}x{HEIGHT}, {sizes}")  # noqa: T201
        start = time.perf_counter()
        pack(root / "images8", root / "pack8", arguments.workers)
        packing = time.perf_counter() - start
        pack(root / "images16", root / "pack16", arguments.workers)
        datasets: dict[str, Dataset | None] = {
            "png": ImageFolder(str(root / "images8"), CROP, SCALE),
            "png16": ImageFolder(str(root / "images16"), CROP, SCALE, bits=16),
            "lmdb": make_lmdb(root / "images8", root / "lmdb"),
            "pack": ImageFolder(str(root / "pack8"), CROP, SCALE),
            "pack16": ImageFolder(str(root / "pack16"), CROP, SCALE, bits=16),
        }
        rates: dict[str, list[float]] = {key: [] for key, dataset in datasets.items() if dataset is not None}
        for _ in range(passes):
            for key in rates:
                rates[key].append(crops_per_second(datasets[key], arguments.workers, seconds))  # type: ignore[arg-type]
    medians = {key: statistics.median(values) for key, values in rates.items()}
    figures = {
        "size": arguments.size,
        "workers": arguments.workers,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "png_megabytes": megabytes / count,
        "png16_megabytes": deep_megabytes / count,
        "packing_seconds": packing,
        "crops_per_second": medians,
        "all": rates,
        "pack_to_png": medians["pack"] / medians["png"],
        "png16_to_png": medians["png16"] / medians["png"],
        "pack16_to_pack": medians["pack16"] / medians["pack"],
        "pack_to_lmdb": medians["pack"] / medians["lmdb"] if "lmdb" in medians else None,
    }
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def make_images(folder: Path, count: int, bits: int = 8) -> float:
    """Photographs, enlarged and with noise, as PNG of 8 or 16 bits; gives their size in MB."""
    folder.mkdir()
    photographs = [read_image(path) for path in sample_paths((*TRAINING, *VALIDATION))]
    total = 0
    for i in range(count):
        rng = np.random.default_rng(i)
        photograph = photographs[i % len(photographs)]
        large = cv2.resize(photograph, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = large + rng.normal(0, 1.5, large.shape)
        path = folder / f"{i:04d}.png"
        if bits == 8:
            Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(path)
        else:
            deep = (noisy * 257).round().clip(0, 65535).astype(np.uint16)
            cv2.imwrite(str(path), deep[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 6])
        total += path.stat().st_size
    return total / 1e6


def make_lmdb(images: Path, folder: Path) -> SubImages | None:
    """All sub-images, as PNG of compression level 1; None without lmdb."""
    try:
        import lmdb
    except ImportError:
        print("no LMDB: pip install lmdb")  # noqa: T201
        return None
    count = 0
    with lmdb.open(str(folder), map_size=1 << 40) as environment:
        for path in sorted(images.iterdir()):
            image = cv2.imread(str(path))
            with environment.begin(write=True) as transaction:
                for top in places(HEIGHT):
                    for left in places(WIDTH):
                        part = image[top : top + SUB_IMAGE, left : left + SUB_IMAGE]
                        content = cv2.imencode(".png", part, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
                        transaction.put(str(count).encode(), content)
                        count += 1
    return SubImages(folder, count)


def places(side: int) -> list[int]:
    """Where sub-images begin along a side, the last one at the edge."""
    found = list(range(0, side - SUB_IMAGE + 1, STEP))
    return found if found[-1] == side - SUB_IMAGE else [*found, side - SUB_IMAGE]


def crops_per_second(dataset: Dataset, workers: int, seconds: float) -> float:
    """Of a DataLoader, once each worker has given its first batch."""
    loader = DataLoader(dataset, batch_sampler=batches(), num_workers=workers)  # type: ignore[arg-type]
    arriving = iter(loader)
    for _ in range(max(1, workers)):
        next(arriving)
    start, given = time.perf_counter(), 0
    # A whole round of the workers, as their batches arrive together.
    while given % max(1, workers) or time.perf_counter() - start < seconds:
        next(arriving)
        given += 1
    return given * BATCH / (time.perf_counter() - start)


def batches() -> Iterator[list[int]]:
    """Sample numbers without end."""
    first = 0
    while True:
        yield list(range(first, first + BATCH))
        first += BATCH


def report(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    for key, rate in figures["crops_per_second"].items():
        spread = f"{min(figures['all'][key]):.0f} to {max(figures['all'][key]):.0f}"
        print(f"{key:6} {rate:9.1f} crops/s ({spread})")  # noqa: T201
    print(f"pack / png:  {figures['pack_to_png']:.1f} (wanted: at least 50)")  # noqa: T201
    if figures["pack_to_lmdb"]:
        print(f"pack / lmdb: {figures['pack_to_lmdb']:.1f} (wanted: at least 5)")  # noqa: T201
    for kind in ("png", "pack"):
        print(f"{kind} of 16 bits / 8 bits: {figures[f'{kind}16_to_{kind}']:.2f} (wanted: at least 0.5)")  # noqa: T201
    print(f"packing took {figures['packing_seconds']:.1f} s, with {figures['workers']} workers")  # noqa: T201


if __name__ == "__main__":
    main()
