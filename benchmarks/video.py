"""Where `sr upscale` spends its time on a video: decoding, network, encoding, and everything vs. the network alone.

    python benchmarks/video.py --json video.json                              # 480x270 to 1920x1080, untrained weights
    python benchmarks/video.py --video match.mp4 --codec hevc_nvenc           # your own clip and encoder

Each part is run alone on the same frames, then all three at once. `of the engine's rate` is the frames per second of
everything relative to those of the network alone, from pixels to pixels; below 0.8, the part that takes as long as
everything is the bottleneck. The network's time excludes the first frames, for which memory and kernels are chosen.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measured(name: str, clip: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds a frame of each part."""
    generator_name, more = NETWORKS[name]
    torch.manual_seed(0)
    engine = Engine(
        GENERATORS[generator_name](scale=4, **more), arguments.device, arguments.precision, runtime=arguments.runtime
    )
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
