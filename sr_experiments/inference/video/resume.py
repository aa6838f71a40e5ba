"""The finished part of an upscaled video, from which interrupted work can resume.

A video is upscaled in segments that are encoded separately: 250 frames, or a minute's work if that is less. Next to
the output `clip.mp4`, the folder `.clip.mp4.partial/` contains the finished segments, the state of a recurrent network
after the last one, and `journal.json`, which records what they were made from. Uninterrupted work takes the same path,
so a resumed output has the same frames, and the same bytes wherever segments take less than a minute.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from sr_experiments.errors import SRError
from sr_experiments.files.writing import replacing, write_json, writing_failed
from sr_experiments.inference.image_engine import ImageEngine
from sr_experiments.inference.options import Options

SEGMENT = 250  # frames per segment, at most
SEGMENT_SECONDS = 60  # of work, after which a segment ends early


class PartialOutput:
    """Folder of the finished part of an output.

    The settings are everything that the result depends on, as JSON values.

    Attributes:
        frames: number of finished frames.
        delays: delay of each finished segment, see `SegmentEncoder`.

    Raises:
        SRError: the folder exists, and the user gave neither option or the settings differ.
    """

    def __init__(self, target: Path, settings: Mapping[str, Any], options: Options) -> None:
        self.target = target
        self.folder = folder_of(target)
        self.frames = 0
        self.delays: list[int] = []
        # Through JSON and back, so that they compare equal to those of a journal.
        self._settings = json.loads(json.dumps({**settings, "segment": SEGMENT}))
        if self.folder.exists():
            if options.resume:
                self._resume()
            elif options.overwrite:
                shutil.rmtree(self.folder)
            else:
                raise SRError(f"{target} is unfinished: give --resume to continue, or --overwrite to start again")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise writing_failed(self.folder, error, "--output") or error from error
        self._write_journal()

    def segment(self, number: int) -> Path:
        """Return the path of a segment, numbered from 0."""
        return self.folder / f"{number:06d}.mkv"

    def finish_segment(self, frames: int, delay: int, state: Any) -> None:
        """Record that the next segment is finished: number of frames so far, its delay, the engine's state after it."""
        # The journal names the state by its frame number, so it stays consistent if the process is killed in between.
        if state is not None:
            import torch  # here, since networks for images have no state and may run without it

            with replacing(self._state_path(frames)) as temporary:
                torch.save(state, temporary)
        before, self.frames = self.frames, frames
        self.delays.append(delay)
        self._write_journal()
        self._state_path(before).unlink(missing_ok=True)

    def load_state(self) -> Any:
        """Load the state of a recurrent network's engine after the last finished segment."""
        import torch

        return torch.load(self._state_path(self.frames), weights_only=True) if self.frames else None

    @contextmanager
    def unfinished(self, total: int, console: Console, again: str) -> Iterator[None]:
        """If the work inside is interrupted, say how many of `total` frames are kept, and the command that goes on."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            kept = f"{self.frames} of {total} frames are finished and kept: continue with" if self.frames else ""
            line = f"{kept} {again}" if kept else f"none of {total} frames is kept: too early to continue, start again"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
            raise

    def remove(self) -> None:
        """Remove the folder, once the output is complete or if no frames are finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _state_path(self, frames: int) -> Path:
        return self.folder / f"state_{frames}.pt"

    def _write_journal(self) -> None:
        content = {"frames": self.frames, "delays": self.delays, "settings": self._settings}
        write_json(self.folder / "journal.json", content)

    def _resume(self) -> None:
        try:
            journal = json.loads((self.folder / "journal.json").read_text(encoding="utf-8"))
            settings, frames, delays = journal["settings"], int(journal["frames"]), list(journal["delays"])
        except FileNotFoundError:
            return  # nothing was finished
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SRError(f"can't read {self.folder / 'journal.json'}: give --overwrite to start again") from error
        for name in [*self._settings, *settings]:
            before, now = settings.get(name), self._settings.get(name)
            if before != now:
                values = f" ({before}, now {now})" if len(f"{before}{now}") < 60 else ""
                raise SRError(
                    f"{self.target} was started with a different {name}{values}: "
                    "give the same with --resume, or --overwrite to start again"
                )
        self.frames, self.delays = frames, delays


def folder_of(target: Path) -> Path:
    """Return the folder of the finished part of an output."""
    return target.with_name(f".{target.name}.partial")


def engine_settings(engine: ImageEngine) -> dict[str, Any]:
    """Return the settings of an engine that its results depend on."""
    return {
        "checkpoint": engine.digest(),
        "scale": engine.scale,
        "device": engine.device_type,
        "precision": engine.precision,
        "runtime": engine.runtime,
        "tile": engine.tile,
        **({"sampling": dict(engine.traits.sampling)} if engine.traits.sampling else {}),
    }


def file_settings(path: Path) -> dict[str, Any]:
    """Return what identifies an input file."""
    stat = path.stat()
    return {"input": f"{stat.st_size} bytes of {stat.st_mtime_ns}"}
