"""The files to upscale, one at a time, in the order in which they came."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_experiments.errors import SRError

MOST_WAITING = 20


@dataclass
class Job:
    """A file to upscale, in a folder of its own; `answer` is that of the worker."""

    number: int
    name: str  # of the file, for its user
    checkpoint: str  # its name
    folder: Path
    request: dict[str, Any]
    state: str = "waiting"  # working, done, failed
    share: float | None = None
    answer: dict[str, Any] | None = None

    def shown(self) -> dict[str, Any]:
        """Return what the page shows."""
        state = {"number": self.number, "name": self.name, "checkpoint": self.checkpoint, "state": self.state}
        return {**state, "share": self.share, **(self.answer or {})}


class Jobs:
    """A queue of jobs, and the process that works on them.

    Args:
        folder: of the files, removed by the caller after `close`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}
        self._count = 0
        self._process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def shown(self) -> list[dict[str, Any]]:
        """Return what the page shows of each job, the newest first."""
        with self._changed:
            return [job.shown() for job in reversed(self._jobs.values())]

    def file(self, number: str, name: str) -> Path | None:
        """Return a file of a job that is done: `before`, `after` or `result`."""
        job = self._jobs.get(_read(number))
        if job is None or job.state != "done" or job.answer is None:
            return None
        return job.folder / {"before": "before.png", "after": "after.png"}.get(name, job.answer["result"])

    def add(self, name: str, blocks: Iterable[bytes], length: int, checkpoint: str, request: dict[str, Any]) -> None:
        """Store a file and put it at the end of the queue.

        Raises:
            SRError: it is incomplete, there is no room for it, or too many wait.
        """
        with self._changed:
            if sum(job.state == "waiting" for job in self._jobs.values()) >= MOST_WAITING:
                raise SRError(f"{MOST_WAITING} files are waiting: add {name} when some are done")
            self._count += 1
            number = self._count
        if shutil.disk_usage(self.folder).free < 2 * length:
            raise SRError(f"no room for {name} in {self.folder}: remove other results, or set TMPDIR to another disk")
        folder = self.folder / str(number)
        folder.mkdir()
        try:
            source = folder / f"input{_plain_extension(name)}"
            with source.open("wb") as file:
                for block in blocks:
                    file.write(block)
            if source.stat().st_size != length:
                raise SRError(f"{name} did not arrive whole: add it again")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        request = {**request, "folder": str(folder), "source": source.name}
        with self._changed:
            self._jobs[number] = Job(number, name, checkpoint, folder, request)
            self._changed.notify()

    def remove(self, number: str) -> None:
        """Remove a job with its files, whatever its state; unknown ones are removed already."""
        with self._changed:
            job = self._jobs.pop(_read(number), None)
            if job is not None and job.state == "working":
                self._stop()  # its folder is removed when the process has ended
            elif job is not None:
                shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """End the work."""
        with self._changed:
            self._jobs.clear()
            process = self._stop()
        if process is not None:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    def _stop(self) -> "subprocess.Popen[str] | None":
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
        return process

    def _work(self) -> None:
        while True:
            with self._changed:
                while (job := next((job for job in self._jobs.values() if job.state == "waiting"), None)) is None:
                    self._changed.wait()
                job.state = "working"
                process = self._process = self._running()
            answer = self._upscale(job, process)
            with self._changed:
                job.answer = {key: _named(text, job) for key, text in answer.items()}
                job.state = "failed" if "error" in answer else "done"
                if job.number not in self._jobs:
                    shutil.rmtree(job.folder, ignore_errors=True)

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        command = [sys.executable, "-m", "sr_experiments.app.worker"]
        # In a session of its own, Ctrl-C in the terminal does not reach it.
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)

    def _upscale(self, job: Job, process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.request) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                answer: dict[str, Any] = json.loads(line)
                if "share" not in answer:
                    return answer
                job.share = answer["share"]
        except (OSError, ValueError):
            process.terminate()
        why = "perhaps for lack of memory" if process.wait() == -9 else f"exit code {process.returncode}"
        return {"error": f"{job.name}: upscaling ended without a result ({why}): try a smaller or another file"}


def _read(number: str) -> int:
    """Return the number of a job; of a text that is none, one that no job has."""
    return int(number) if number.isdecimal() and len(number) < 9 else 0


def _named(text: Any, job: Job) -> Any:
    """Replace the path of a job's file by the name that its user gave it."""
    if not isinstance(text, str):
        return text
    source = job.request["source"]
    text = text.replace(str(job.folder / source), job.name).replace(f"{job.folder}/", "").strip()
    return text.replace(source, job.name) if "." in source else text


def _plain_extension(name: str) -> str:
    suffix = Path(name).suffix
    return suffix.lower() if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) < 9 else ""
