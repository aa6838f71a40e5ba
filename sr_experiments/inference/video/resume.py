"""What is finished of a video, so that interrupted work can go on.

A video is made in segments, each encoded on its own. Beside the output `clip.mp4` the folder `.clip.mp4.partial/`
holds the finished ones, the state of a recurrent network behind the last of them, and `journal.json`, which says
what they were made from. Every run goes this way, so a resumed one gives what an uninterrupted one would have.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sr_experiments.errors import SRError
from sr_experiments.files import replacing, write_json, writing_failed
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.options import Options

SEGMENT = 250  # frames


class Partial:
    """The folder of what is finished.

    Args:
        target: what is to be made.
        settings: what the result depends on, for JSON.
        options: for `resume` and `overwrite`.

    Attributes:
        folder: where it is.
        frames: how many are finished.
        delays: of each finished segment, see `SegmentEncoder`.

    Raises:
        SRError: there is unfinished work, and the user didn't say what to do with it; or it was made in another way.
    """

    def __init__(self, target: Path, settings: Mapping[str, Any], options: Options) -> None:
        self.target = target
        self.folder = folder_of(target)
        self.frames = 0
        self.delays: list[int] = []
        self._settings = json.loads(json.dumps({**settings, "segment": SEGMENT}))
        if self.folder.exists():
            if options.resume:
                self._resume()
            elif options.overwrite:
                shutil.rmtree(self.folder)
            else:
                raise SRError(f"{target} is unfinished: give --resume to go on, or --overwrite to begin anew")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise writing_failed(self.folder, error, "--output") or error from error
        self._write()

    def segment(self, number: int) -> Path:
        """File of a segment, by its number from 0."""
        return self.folder / f"{number:06d}.mkv"

    def finished(self, frames: int, delay: int, state: Any) -> None:
        """Note that the next segment is in its place.

        Args:
            frames: finished by now.
            delay: see `SegmentEncoder`.
            state: of the engine behind it.
        """
        with replacing(self._state(frames)) as temporary:
            torch.save(state, temporary)
        before, self.frames = self.frames, frames
        self.delays.append(delay)
        self._write()
        self._state(before).unlink(missing_ok=True)

    def state(self) -> Any:
        """The engine's behind the last finished segment."""
        return torch.load(self._state(self.frames), weights_only=True) if self.frames else None

    def remove(self) -> None:
        """All is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Nothing is done that would be worth keeping."""
        if not self.frames:
            self.remove()

    def _state(self, frames: int) -> Path:
        return self.folder / f"state_{frames}.pt"

    def _write(self) -> None:
        write_json(
            self.folder / "journal.json", {"frames": self.frames, "delays": self.delays, "settings": self._settings}
        )

    def _resume(self) -> None:
        try:
            journal = json.loads((self.folder / "journal.json").read_text(encoding="utf-8"))
            made_with, frames, delays = journal["settings"], int(journal["frames"]), list(journal["delays"])
        except FileNotFoundError:
            return  # nothing was finished
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SRError(f"can't read {self.folder / 'journal.json'}: give --overwrite to begin anew") from error
        for name in [*self._settings, *made_with]:
            before, now = made_with.get(name), self._settings.get(name)
            if before != now:
                said = f" ({before}, now {now})" if len(f"{before}{now}") < 60 else ""
                raise SRError(
                    f"{self.target} was begun with another {name}{said}: "
                    "give the same to --resume, or --overwrite to begin anew"
                )
        self.frames, self.delays = frames, delays


def folder_of(target: Path) -> Path:
    """Where unfinished work on `target` is kept."""
    return target.with_name(f".{target.name}.partial")


def engine_settings(engine: Engine) -> dict[str, Any]:
    """What of an engine its results depend on."""
    network = engine.generator
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return {
        "checkpoint": digest.hexdigest(),
        "scale": engine.scale,
        "device": engine.device.type,
        "precision": engine.precision,
        "runtime": engine.runtime,
        "tile": engine.tile,
    }


def file_settings(path: Path) -> dict[str, Any]:
    """What tells one input from another."""
    stat = path.stat()
    return {"input": f"{stat.st_size} bytes of {stat.st_mtime_ns}"}


def digest(content: Any) -> str:
    """A fingerprint of what JSON can hold."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def settle(temporary: Path, target: Path) -> None:
    """Give a whole file its name."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
