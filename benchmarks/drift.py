"""Does a recurrent network drift? PSNR over hundreds of frames of an almost static scene.

    python benchmarks/drift.py --photograph photo.png -c outputs/frvsr_pixel_x4/RUN --plot drift.png

A camera films the middle of a photograph and only shakes by a fraction of a pixel, as on a tripod in the wind.
`sr evaluate` measures the networks on the clip (saved with --keep). A network that drifts loses PSNR over the clip;
one that uses earlier frames keeps or gains it. The curve of bicubic shows the effect of the scene itself.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sr_experiments.data.image_files import read_image
from sr_experiments.data.objects import Scene
from sr_experiments.evaluation.candidates import to_tensor
from sr_experiments.metrics.psnr import PSNR

EARLY = slice(10, 60)  # frames, once the recurrence has something to look back at


def main() -> None:
    """Film, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photograph", type=Path, required=True, help="image to film")
    parser.add_argument(
        "-c", "--checkpoint", action="append", required=True, help="run folder or weights; can be repeated"
    )
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--size", type=int, default=256, help="side of the frames, HR pixels")
    parser.add_argument(
        "--tremble", type=float, default=0.25, help="standard deviation of the camera position, HR pixels"
    )
    parser.add_argument("--plot", type=Path, help="PNG to write: Y-PSNR over the frames")
    parser.add_argument("--json", type=Path, help="file to write the results of sr evaluate to")
    parser.add_argument("--keep", type=Path, help="folder to save the clip in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sr_drift_") as name:
        clips, pictures = arguments.keep or Path(name) / "clips", Path(name) / "sr"
        write_clip(arguments.photograph, clips / arguments.photograph.stem, arguments)
        command = [Path(sys.executable).with_name("sr"), "evaluate", "--hr", clips, "--clips", "--save", pictures]
        command += [part for checkpoint in arguments.checkpoint for part in ("-c", checkpoint)]
        command += ["--json", arguments.json] if arguments.json else []
        subprocess.run(list(map(str, command)), check=True)
        curves = measured(clips, pictures)
    for label, values in curves.items():
        early, late = statistics.mean(values[EARLY]), statistics.mean(values[-50:])
        print(f"{label}: frames 10 to 59 {early:.2f}, last 50 {late:.2f}, {late - early:+.2f}")  # noqa: T201
    if arguments.plot:
        plot(curves, arguments.plot)


def write_clip(photograph: Path, folder: Path, arguments: argparse.Namespace) -> None:
    """The frames as PNG files."""
    folder.mkdir(parents=True)
    image = torch.from_numpy(read_image(photograph, 3)).permute(2, 0, 1).float() / 255
    middle = (np.array(image.shape[:0:-1]) - arguments.size) / 2
    shake = np.random.default_rng(0).normal(0, arguments.tremble, (arguments.frames, 2))
    for number, offset in enumerate(middle + shake):
        path = np.concatenate((np.eye(2), offset[:, None]), 1)[None]
        frame = Scene(image, path, arguments.size).film()[0].permute(1, 2, 0).numpy()
        Image.fromarray(frame).save(folder / f"{number:08d}.png", compress_level=1)


def measured(clips: Path, pictures: Path) -> dict[str, list[float]]:
    """Of each network, and of bicubic, Y-PSNR of each frame."""
    psnr = PSNR("y", crop_border=4)
    curves: dict[str, list[float]] = {}
    for file in sorted(pictures.rglob("*.png")):
        label = str(file.parent.parent.relative_to(pictures))
        sr, hr = (to_tensor(read_image(path, 3)) for path in (file, clips / file.parent.name / file.name))
        curves.setdefault(label, []).append(float(psnr.per_image(sr, hr)))
    return curves


def plot(curves: dict[str, list[float]], path: Path) -> None:
    """Draw them over the frames."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for label, values in curves.items():
        axes.plot(values, label=label, linewidth=0.8)
    axes.set(xlabel="frame", ylabel="Y-PSNR, dB")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
