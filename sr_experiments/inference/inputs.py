"""The inputs of `sr upscale`, and the output of each."""

import logging
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sr_experiments.data.image_files import EXTENSIONS as IMAGE_EXTENSIONS
from sr_experiments.data.image_files import and_left_out, natural_key, walk_images
from sr_experiments.errors import SRError
from sr_experiments.files.walk import UNREAD, is_left_out
from sr_experiments.video.animation import is_animated
from sr_experiments.video.formats import ANIMATIONS, CONTAINERS, is_clip_file
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """A file or a folder of frames to upscale, and the output to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Inputs:
    """The files that the user named.

    Images and videos, among them animated images, are in natural order; `root` is the folder that contains them,
    directly or deeper, None for a single file.
    """

    images: list[Path]
    videos: list[Path]
    root: Path | None


def find_inputs(names: Sequence[str], output: Path) -> Inputs:
    """Find the images and videos of one file, folder or glob (`**` for any depth), or of several files.

    What is in the output, where that is inside the folder, is the result of an earlier run, and is left out.

    Raises:
        SRError: there are none.
    """
    path = Path(names[0]).expanduser()
    root: Path | None = None
    left_out = ""
    if len(names) > 1:
        files = [Path(name).expanduser() for name in names]
        absent = [file for file in files if not file.is_file()]
        if absent:
            raise SRError(f"{absent[0]} is not a file: give several files, or one folder or glob")
        if unread := [file for file in files if file.suffix.lower() in UNREAD.keys() - ANIMATIONS.keys()]:
            raise SRError(f"{unread[0]} is of a format that isn't read: leave it out, or {_todo(unread[0])}")
        if len({file.is_absolute() for file in files}) > 1 or any(".." in file.parts for file in files):
            files = [file.parent.resolve() / file.name for file in files]  # names below one folder, however given
        root = Path(os.path.commonpath([file.parent for file in files]))
    elif path.is_file():
        if path.suffix.lower() in UNREAD and path.suffix.lower() not in ANIMATIONS:
            raise SRError(f"{path} is of a format that isn't read: {_todo(path)}")
        files = [path]
    elif path.is_dir():
        found = walk_images(path, (*VIDEO_EXTENSIONS, *ANIMATIONS))
        found.log_left_out()
        files, root, left_out = [Path(name) for name in found.paths()], path, and_left_out(found)
    elif patterns := [i for i, part in enumerate(path.parts) if any(sign in part for sign in "*?[")]:
        depth = patterns[0]
        root = Path(*path.parts[:depth])
        files = _glob(root, str(Path(*path.parts[depth:])))
    else:
        raise SRError(f"no {path}: give an image, a video, a folder or a glob")
    if len(names) == 1 and root is not None:
        files = _without_results(files, root, output)
    files.sort(key=lambda file: natural_key(file.as_posix()))
    images, videos = [], []
    for file in files:
        if file.suffix.lower() in VIDEO_EXTENSIONS or _is_animation(file):
            videos.append(file)
        elif file.suffix.lower() in IMAGE_EXTENSIONS:
            images.append(file)
    if not images and not videos:
        known = " ".join(dict.fromkeys((*IMAGE_EXTENSIONS, *ANIMATIONS, *VIDEO_EXTENSIONS)))
        what = f"{path} is neither an image nor a video" if path.is_file() else f"no images or videos in {path}"
        raise SRError(f"{what}: known extensions are {known}{left_out}")
    return Inputs(images, videos, root)


def _is_animation(file: Path) -> bool:
    """Return whether a file is an animated image, or a GIF, which is written as one."""
    only = ANIMATIONS.keys() - set(IMAGE_EXTENSIONS)
    return file.suffix.lower() in only or is_animated(file)


def _glob(root: Path, pattern: str) -> list[Path]:
    """Return the files that fit a pattern, without what a walk leaves out, unless the pattern itself names it."""
    named = Path(pattern).parts
    return [
        file
        for file in root.glob(pattern)
        if file.is_file() and not any(is_left_out(part) and part not in named for part in file.relative_to(root).parts)
    ]


def _without_results(files: list[Path], root: Path, output: Path) -> list[Path]:
    """Return the files that are neither the output nor in it, if that is inside the root."""
    real, inside = root.resolve(), output.resolve()
    if real not in inside.parents:
        return files
    results = root / inside.relative_to(real)
    left = [file for file in files if file != results and results not in file.parents]
    if count := len(files) - len(left):
        log.warning("%s: left out: %d in %s, the output", root, count, results.relative_to(root))
    return left


def _todo(file: Path) -> str:
    return re.sub(r"\bin\.\w+", lambda _: shlex.quote(file.name), UNREAD[file.suffix.lower()])


def plan_jobs(sources: Sequence[Path], root: Path | None, output: Path, extension: str | None = None) -> list[Job]:
    """Assign each source its target: `output` itself for a single file, else the same relative path below it.

    The root is that of `Inputs`; `extension`, with or without its dot, is that of the targets, else the source's.
    """
    jobs = []
    for source in sources:
        if root is None and output.suffix and not output.is_dir():
            target = output
        else:
            relative = Path(source.name) if root is None else source.relative_to(root)
            target = output / (relative if extension is None else relative.with_suffix("." + extension.lstrip(".")))
        jobs.append(Job(source, target))
    return jobs


def check_targets(jobs: Sequence[Job]) -> None:
    """Refuse jobs of which one would replace the result of another, or its own source.

    Raises:
        SRError: there are such jobs.
    """
    taken: dict[Path, Path] = {}
    for source, target in jobs:
        if target in taken:
            raise SRError(f"{taken[target]} and {source} would both become {target}: rename one")
        if target.exists() and source.exists() and target.samefile(source):
            raise SRError(f"{source} would be replaced by its own result: choose another --output")
        taken[target] = source


def clip_jobs(inputs: Inputs, output: Path, image_format: str | None) -> list[Job]:
    """Assign each video and animated image its target.

    In a folder, videos of containers that can only be read become .mkv; animated images become `image_format`, if that
    can be animated.

    Raises:
        SRError: a single animated image has an output that can't be one.
    """
    jobs = plan_jobs(inputs.videos, inputs.root, output)
    for i, (source, target) in enumerate(jobs):
        wanted = "." + (image_format or "").lstrip(".").lower()
        if is_animated(source) and not is_clip_file(target):
            known = " ".join((*ANIMATIONS, *CONTAINERS))
            raise SRError(f"{source} is animated, and {target.suffix} is not: choose an output in one of {known}")
        if inputs.root is not None and source.suffix.lower() in ANIMATIONS and wanted in ANIMATIONS:
            jobs[i] = Job(source, target.with_suffix(wanted))
        elif inputs.root is not None and source.suffix.lower() in VIDEO_EXTENSIONS:
            jobs[i] = Job(source, target if target.suffix.lower() in CONTAINERS else target.with_suffix(".mkv"))
    return jobs


def pending_jobs(jobs: Sequence[Job], overwrite: bool, resume: bool) -> list[Job]:
    """Return the jobs to do: all with `overwrite`, those without an output with `resume`.

    Raises:
        SRError: outputs exist, and neither option is given.
    """
    done = [job for job in jobs if job.target.exists()]
    if overwrite or not done:
        return list(jobs)
    if resume:
        return [job for job in jobs if job not in done]
    what = f"{done[0].target} exists" if len(done) == 1 else f"{len(done)} outputs exist, {done[0].target} the first"
    hint = ", or --resume to make only the missing ones" if len(jobs) > 1 else ""
    raise SRError(f"{what}: give --overwrite to replace{hint}")
