"""Where `sr upscale` spends its time on a video: decoding, network, encoding, and everything vs. the network alone.

    python benchmarks/video.py --json video.json                              # 480x270 to 1920x1080, untrained weights
    python benchmarks/video.py --video match.mp4 --codec hevc_nvenc           # your own clip and encoder

Each part is run alone on the same frames, then all three at once. `of the engine's rate` is the frames per second of
everything relative to those of the network alone, from pixels to pixels; below 0.8, the part that takes as long as
everything is the bottleneck. The network's time excludes the first frames, for which memory and kernels are chosen.
Recurrent networks then take turns on the beginnings of clips: the first frame, which has no previous one, and the next.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `sr` does, before torch

import numpy as np
import torch
from rich.console import Console
from scaling import noise_clip

from sr_experiments.generators import GENERATORS
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options
from sr_experiments.inference.video.upscale import upscale_video
from sr_experiments.video.encode import SegmentEncoder, choose_encoding
from sr_experiments.video.source import VideoSource

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "srresnet": ("srresnet", {}),
    "msrresnet": ("msrresnet", {}),
    "rrdbnet": ("rrdbnet", {}),
    "frvsr": ("frvsr", {}),
    "basicvsr_uni": ("basicvsr_uni", {"flow": "lucas_kanade"}),
}
WARM_UP = 2  # frames
TURNS = 5  # beginnings of clips that are measured


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["msrresnet", "frvsr"])
    parser.add_argument("--video", type=Path, help="a clip; by default one of moving noise is generated")
    parser.add_argument("--frames", type=int, default=24, help="frames of the generated clip")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--codec", default="libx264")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine(arguments.device), "codec": arguments.codec, "networks": {}}
    with tempfile.TemporaryDirectory(prefix="sr_video_") as name:
        clip = arguments.video or noise_clip(Path(name) / "clip.mp4", 480, 270, arguments.frames)
        for network in arguments.networks:
            figures["networks"][network] = found = measured(network, clip, Path(name), arguments)
            print(f"{network}, {found['runtime']} {found['precision']}, {found['frames']} frames")  # noqa: T201
            for part in ("decode", "network", "encode", "whole"):
                seconds = found[part]
                print(f"  {part:8} {1000 * seconds:8.1f} ms a frame, {1 / seconds:7.2f} FPS")  # noqa: T201
            print(f"  {found['of_engine']:.2f} of the engine's rate")  # noqa: T201
        beginnings = first_frames({name: made(name, arguments) for name in arguments.networks}, clip)
        for network, (first, later) in beginnings.items():
            figures["networks"][network] |= {"first": first, "later": later}
            seconds = f"{1000 * first:.1f} ms for the first frame of a clip, {1000 * later:.1f} for a later one"
            print(f"{network}: {seconds}, {first / later:.2f} times")  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measured(name: str, clip: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds a frame of each part."""
    engine = made(name, arguments)
    options = Options(precision=arguments.precision, runtime=arguments.runtime, codec=arguments.codec, overwrite=True)
    source = VideoSource(clip)
    decode = timed(lambda: [pixels for _, pixels in source.frames()], len(source))
    frames = [pixels for _, pixels in source.frames()]
    network = engine_seconds(engine, frames)
    one = engine.next_frame(frames[0]) if engine.recurrent else engine.upscale(frames[0])
    encoding, _ = choose_encoding(
        options,
        arguments.codec,
        source.first,
        (one.shape[1], one.shape[0]),
        source.time_base,
        source.rate,
        source.aspect,
    )

    def encode() -> None:
        with SegmentEncoder(folder / "encoded", encoding) as encoder:
            for number in range(len(frames)):
                encoder.write(np.roll(one, number, 1), source.stamps[number])

    encoded = timed(encode, len(frames))
    engine.start_clip()
    target = folder / f"{name}.mp4"
    whole = timed(lambda: upscale_video(engine, clip, target, options, Console(quiet=True)), len(frames))
    return {
        "frames": len(frames),
        "runtime": engine.runtime,
        "precision": engine.precision,
        "decode": decode,
        "network": network,
        "encode": encoded,
        "whole": whole,
        "of_engine": network / whole,
    }


def made(name: str, arguments: argparse.Namespace) -> Engine:
    """The engine of a network with untrained weights."""
    generator_name, more = NETWORKS[name]
    torch.manual_seed(0)
    generator = GENERATORS[generator_name](scale=4, **more)
    return Engine(generator, arguments.device, arguments.precision, runtime=arguments.runtime)


def first_frames(engines: dict[str, Engine], clip: Path) -> dict[str, tuple[float, float]]:
    """Seconds of the first frame of a clip and of a later one, medians, of the recurrent networks in turn."""
    frames = [pixels for _, (_, pixels) in zip(range(3), VideoSource(clip).frames(), strict=False)]
    recurrent = {name: engine for name, engine in engines.items() if engine.recurrent}
    times: dict[str, list[list[float]]] = {name: [] for name in recurrent}
    for turn in range(1 + TURNS):
        for name, engine in recurrent.items():
            engine.start_clip()
            seconds = [timed(lambda frame=frame, engine=engine: engine.next_frame(frame), 1) for frame in frames]
            if turn:  # kernels are chosen in the first
                times[name].append(seconds)
    return {
        name: (statistics.median(of[0] for of in all_of), statistics.median(s for of in all_of for s in of[1:]))
        for name, all_of in times.items()
    }


def engine_seconds(engine: Engine, frames: Sequence[np.ndarray]) -> float:
    """Of the network alone."""
    run = engine.next_frame if engine.recurrent else engine.upscale
    for frame in frames[:WARM_UP]:
        run(frame)
    return timed(lambda: [run(frame).shape for frame in frames[WARM_UP:]], len(frames) - WARM_UP)


def timed(run: Callable[[], Any], frames: int) -> float:
    """Seconds a frame."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) / frames


def machine(device: str) -> str:
    """In words."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    gpu = f", {torch.cuda.get_device_name()}" if on_gpu else ""
    return f"{platform.machine()}, {torch.get_num_threads()} threads{gpu}"


if __name__ == "__main__":
    main()
