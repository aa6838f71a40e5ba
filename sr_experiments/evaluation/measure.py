"""Measure every candidate on every scene, in one pass over the data, with as few frames in memory as networks need."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sr_experiments.data.degradations import Degradation
from sr_experiments.errors import SRError
from sr_experiments.evaluation import papers
from sr_experiments.evaluation.candidates import Candidate, Network, to_pixels, to_tensor
from sr_experiments.evaluation.protocol import Protocol, SceneMeasurement
from sr_experiments.evaluation.results import Result
from sr_experiments.evaluation.scenes import Scene
from sr_experiments.inference.images import Picture, write_picture
from sr_experiments.inference.lookahead import with_later

Progress = Callable[[int, int, str], None]


def measure(
    scenes: Sequence[Scene],
    candidates: Sequence[Candidate],
    protocol: Protocol,
    scale: int,
    with_papers: bool = False,
    save: Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Measure the SR pictures of candidates, each of which becomes a result, against HR.

    Args:
        scenes: images or clips.
        candidates: make the pictures.
        protocol: the metrics.
        scale: upsampling factor.
        with_papers: add bicubic as papers report it, after the first result, if LR is bicubic; see `papers`.
        save: folder for the pictures, as `<candidate>/<scene>.png` or `<candidate>/<clip>/<frame>.png`; bands and
            floating-point numbers as TIFF.
        progress: called with the frames done, all frames and the scene's name.

    Raises:
        SRError: unreadable data, or nothing can be measured.
    """
    results = [Result(candidate.name, candidate.source) for candidate in candidates]
    published = Result(papers.NAME, papers.CONVENTION, own_protocol=True)
    total, done = sum(scene.frames for scene in scenes), 0
    for scene in scenes:
        measurements = [SceneMeasurement(protocol, scene.name) for _ in candidates]
        for candidate in candidates:
            candidate.start(scene)
        lookahead = max(candidate.lookahead for candidate in candidates)
        for (number, hr, lr), later in with_later(_frames(scene, protocol.degradation), lookahead):
            for candidate, measurement in zip(candidates, measurements, strict=True):
                sr = candidate.frame(number, lr, *(later_lr for _, _, later_lr in later))
                if sr.shape != hr.shape:
                    raise SRError(
                        f"{candidate.name} gives {sr.shape[1]}x{sr.shape[0]} of {scene.name}, HR has "
                        f"{hr.shape[1]}x{hr.shape[0]}: measure like with like"
                    )
                measurement.add(sr, hr, lr)
                if save is not None:
                    picture = scene.name if scene.frames == 1 else f"{scene.name}/{number:08d}"
                    extension = "png" if sr.shape[2] in (1, 3) and sr.dtype.kind != "f" else "tif"
                    place = save / candidate.name.replace("/", "_") / f"{picture}.{extension}"
                    write_picture(place, Picture(sr))
            # Published values are for LR by MATLAB's bicubic: beside another LR the column would mislead.
            if with_papers and not papers.is_bicubic(hr, lr, scale):
                with_papers = False
                protocol.left_out[papers.NAME] = f"LR of {scene.name} isn't exactly MATLAB's bicubic of HR"
            if with_papers:
                try:
                    published.per_image[scene.name] = papers.papers_bicubic(hr, scale, protocol.crop)
                except SRError as error:
                    protocol.left_out[f"{papers.NAME} of {scene.name}"] = str(error)
            done += 1
            if progress is not None:
                progress(done, total, scene.name)
        for result, measurement in zip(results, measurements, strict=True):
            result.per_image[scene.name] = measurement.values()
    for result, candidate in zip(results, candidates, strict=True):
        result.take_means()
        if isinstance(candidate, Network):
            result.seconds_per_image = candidate.seconds_per_image()
            result.device, result.precision = str(candidate.engine.device), candidate.engine.precision
    if not any(result.mean for result in results):
        raise SRError(f"nothing could be measured: {next(iter(protocol.left_out.values()), 'no metrics')}")
    if with_papers and published.per_image:
        published.take_means()
        results.insert(1, published)
    return results


def _frames(scene: Scene, degradation: Degradation) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield the number, HR and LR of every frame; LR is made from HR where a scene has none."""
    for number in range(scene.frames):
        hr = scene.hr(number)
        if scene.lr:
            yield number, hr, scene.lr(number)
        else:
            yield number, hr, to_pixels(degradation.validation(to_tensor(hr), number), degradation.bits)
