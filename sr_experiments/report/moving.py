"""Clips and time slices of video runs."""

from collections.abc import Sequence
from typing import Any

from sr_experiments.report.media import Media
from sr_experiments.report.pictures import sample_folder
from sr_experiments.runs.reading import Run

KINDS = {"_xt.png": ("slice", "image/png"), ".mp4": ("clip", "video/mp4")}


def moving_pictures(runs: Sequence[Run], media: Media) -> list[dict[str, Any]]:
    """Of each clip, what every run left of its last validation: a time slice and an mp4 file."""
    clips: dict[str, dict[int, dict[str, Any]]] = {}
    for ending, (kind, media_type) in KINDS.items():  # slices first: they are small
        for number, run in enumerate(runs):
            folder = sample_folder(run)
            for path in sorted(folder.glob(f"*{ending}")) if folder else ():
                try:
                    content = path.read_bytes()
                except OSError:
                    continue
                place = media.add(content, media_type)
                if place is not None:
                    of = clips.setdefault(path.name.removesuffix(ending), {})
                    of.setdefault(number, {"run": number})[kind] = place
    return [{"name": name, "runs": list(of.values())} for name, of in clips.items()]
