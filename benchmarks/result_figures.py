"""The figures of docs/RESULTS.md; see results.py."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sr_experiments.runs.series import Series, training_hours

CROPS = {"butterfly": (120, 60), "bird": (60, 90), "baby": (180, 190)}  # left and top of what is shown
SIDE = 96  # of the crops, HR pixels


def curves(named: dict[str, tuple[dict[str, Series], str]], path: Path) -> None:
    """A metric over the steps and over the minutes."""
    pyplot = plotting()
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for name, (series, key) in named.items():
        of, hours = series[key], training_hours(series)
        panels[0].plot(of.steps, of.values, label=name)
        panels[1].plot([60 * hours[time] for time in of.times], of.values, label=name)
        bicubic = series[f"{key}_bicubic"].values[-1]
    for panel, label in zip(panels, ("step", "minutes on one core"), strict=True):
        panel.axhline(bicubic, color="grey", linestyle=":", label="bicubic")
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("Y-PSNR, dB")
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=90)


def stage_curves(series: dict[str, Series], ends: dict[str, int], path: Path) -> None:
    """Each stage's own measure over the steps."""
    pyplot = plotting()
    keys = ("flow_epe", "warp_psnr", "psnr_y", "warping_error")
    figure, panels = pyplot.subplots(1, len(keys), figsize=(14, 3.2), layout="constrained")
    for panel, key in zip(panels, keys, strict=True):
        of = series[f"val/sample_video/{key}"]
        panel.plot(of.steps, of.values)
        if f"val/sample_video/{key}_bicubic" in series:
            panel.axhline(series[f"val/sample_video/{key}_bicubic"].values[-1], color="grey", linestyle=":")
        for end in ends.values():
            panel.axvline(end, color="grey", linewidth=0.6)
        panel.set(title=key, xlabel="step")
    figure.savefig(path, dpi=90)


def plane(points: dict[str, tuple[float, float]], path: Path) -> None:
    """Y-PSNR against LPIPS; points named "<network>, <setting>" are a curve."""
    pyplot = plotting()
    figure, panel = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    curves_of: dict[str, list[tuple[str, float, float]]] = {}
    for name, (psnr, lpips) in points.items():
        network, _, setting = name.partition(", ")
        curves_of.setdefault(network, []).append((setting, psnr, lpips))
    for network, values in curves_of.items():
        panel.plot([v[1] for v in values], [v[2] for v in values], marker="o", label=network)
        for setting, psnr, lpips in values:
            panel.annotate(setting, (psnr, lpips), xytext=(4, 4), textcoords="offset points", fontsize=7)
    panel.set(xlabel="Y-PSNR, dB (right is closer to HR)", ylabel="LPIPS (down is more natural)")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.savefig(path, dpi=90)


def plotting() -> Any:
    """Matplotlib, without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def crops(columns: dict[str, Path], path: Path) -> None:
    """The same part of pictures from several folders, a row a picture, LR enlarged without smoothing."""
    size = 2 * SIDE
    sheet = Image.new("RGB", (len(columns) * (size + 4), 16 + len(CROPS) * (size + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for x, (label, folder) in enumerate(columns.items()):
        draw.text((x * (size + 4) + 2, 2), label, fill="black")
        for y, (name, (left, top)) in enumerate(CROPS.items()):
            image = Image.open(next(folder.glob(f"{name}*"))).convert("RGB")
            factor = 4 if label == "LR" else 1
            box = (left // factor, top // factor, (left + SIDE) // factor, (top + SIDE) // factor)
            tile = image.crop(box).resize((size, size), Image.Resampling.NEAREST)
            sheet.paste(tile, (x * (size + 4), 16 + y * (size + 4)))
    sheet.quantize(256).save(path, optimize=True)


def time_slices(columns: dict[str, Path], path: Path) -> None:
    """The middle row of the frames over time, each clip of each network: flicker shows as teeth."""
    strips = []
    for label, folder in columns.items():
        for clip in sorted(place for place in folder.iterdir() if place.is_dir()):
            frames = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(clip.iterdir())]
            middle, centre = (side // 2 for side in frames[0].shape[:2])
            rows = np.stack([frame[middle, centre - 128 : centre + 128] for frame in frames])
            strips.append((f"{label}, {clip.name}", rows.repeat(3, 0).repeat(2, 1)))
    clips_count = len({label.rsplit(", ", 1)[1] for label, _ in strips})
    height, width = max(strip.shape[0] for _, strip in strips) + 18, strips[0][1].shape[1] + 6
    sheet = Image.new("RGB", (clips_count * width, -(-len(strips) // clips_count) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (label, strip) in enumerate(strips):
        x, y = i % clips_count * width, i // clips_count * height
        draw.text((x + 2, y + 2), label, fill="black")
        sheet.paste(Image.fromarray(strip), (x, y + 15))
    sheet.quantize(256).save(path, optimize=True)
