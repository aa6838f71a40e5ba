"""What int8 costs and gives: quality, difference to fp32 and speed, on pictures that it was not calibrated with."""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sr_experiments.evaluation.cost import macs_per_pixel
from sr_experiments.evaluation.metrics_config import metrics_config
from sr_experiments.evaluation.protocol import Protocol, SceneMeasurement
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.engine import Engine
from sr_experiments.quantization.pictures import Picture, clip_of, degradation_of

METRICS = ("psnr_y", "ssim_y", "lpips_alex")
FRAMES = 3  # of the clip that a recurrent network is measured on, at its last frame
TURNS = 3  # of each precision, for its median time
OPERATIONS = 4e10  # multiply-adds of one turn
LARGEST_SIDE = 256  # LR pixels


def enlarged(engine: Engine, lr: np.ndarray) -> np.ndarray:
    """Return SR of an LR picture, uint8 (H, W, C); of a recurrent network, the last frame of `clip_of`."""
    if not engine.recurrent:
        return engine.upscale(lr)
    engine.start_clip()
    return [engine.next_frame(frame) for frame in clip_of(lr, FRAMES)][-1]


class Measurement:
    """Measures engines of one network beside its fp32 output.

    Args:
        generator: the network in fp32.
        pictures: HR and LR to measure on.
        fp32: its engine in fp32.
    """

    def __init__(self, generator: Generator, pictures: Sequence[Picture], fp32: Engine) -> None:
        self.generator = generator
        self.pictures = pictures
        scale = generator.scale
        config = {key: of for key, of in metrics_config(scale).items() if key in METRICS}
        self._protocol = Protocol(
            config, scale, degradation_of(generator), False, generator.channels, torch.device("cpu")
        )
        self._expected = [enlarged(fp32, picture.lr) for picture in pictures]
        self.fp32 = fp32
        self.left_out: dict[str, str] = {}

    def quality(self, engine: Engine) -> dict[str, float]:
        """Return the metrics against HR, and the difference to the fp32 output.

        `psnr_to_fp32` is the mean over pictures, in dB, `largest` and `percentile_99_9` are differences in levels of
        255. Where all pixels are equal, `psnr_to_fp32` is 99.
        """
        values: dict[str, list[float]] = {}
        differences = []
        for picture, expected in zip(self.pictures, self._expected, strict=True):
            sr = expected if engine is self.fp32 else enlarged(engine, picture.lr)
            height, width = sr.shape[:2]
            hr = picture.hr[picture.hr.shape[0] - height :, picture.hr.shape[1] - width :]
            lr = picture.lr[
                picture.lr.shape[0] - height // engine.scale :, picture.lr.shape[1] - width // engine.scale :
            ]
            scene = SceneMeasurement(self._protocol, picture.name)
            scene.add(sr, np.ascontiguousarray(hr), np.ascontiguousarray(lr))
            for key, value in scene.values().items():
                values.setdefault(key, []).append(value)
            difference = np.abs(sr.astype(np.int16) - expected)
            differences.append(difference.ravel())
            error = float(np.square(difference, dtype=np.float64).mean())
            values.setdefault("psnr_to_fp32", []).append(10 * np.log10(255**2 / error) if error else 99.0)
        self.left_out = dict(self._protocol.left_out)
        every = np.concatenate(differences)
        means = {key: float(np.mean(of)) for key, of in values.items() if key in (*METRICS, "psnr_to_fp32")}
        return means | {"largest": float(every.max()), "percentile_99_9": float(np.percentile(every, 99.9))}

    def seconds(self, engines: dict[str, Engine]) -> dict[str, float]:
        """Return the median seconds of one picture; the engines take turns, so that other work falls on all."""
        pixels = OPERATIONS / max(macs_per_pixel(self.generator), 1.0)
        side = int(min(max(pixels**0.5, 32), LARGEST_SIDE))
        random = np.random.default_rng(0)
        lr = random.integers(0, 256, (side, side, self.generator.channels), dtype=np.uint8)
        times: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(TURNS + 1):  # the first warms up
            for name, engine in engines.items():
                start = time.perf_counter()
                enlarged(engine, lr)
                if turn:
                    times[name].append(time.perf_counter() - start)
        return {name: statistics.median(of) for name, of in times.items()}


def table(rows: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the measured rows, by precision, as texts; the first row names the columns."""
    columns = {
        "psnr_y": ("PSNR (Y)", ".3f"),
        "ssim_y": ("SSIM (Y)", ".4f"),
        "lpips_alex": ("LPIPS", ".4f"),
        "psnr_to_fp32": ("dB to fp32", ".1f"),
        "percentile_99_9": ("99.9 %", ".0f"),
        "largest": ("largest", ".0f"),
        "seconds": ("s a picture", ".3f"),
        "times_fp32": ("times fp32", ".2f"),
    }
    shown = {key: of for key, of in columns.items() if any(key in row for row in rows.values())}
    lines = [["", *(title for title, _ in shown.values())]]
    for name, row in rows.items():
        texts = [format(row[key], digits) if key in row else "" for key, (_, digits) in shown.items()]
        lines.append([name, *texts])
    return lines
