"""Commands run in forks of one process that has imported everything: thousands of inputs in minutes, each in limits.

`python -m tests.hostile.zygote` reads one JSON object a line, runs the command it names in a fork with limits on
memory, processor time and file sizes, and answers with one JSON object: what it said, how it ended, what it took,
and what it did that an auditor should know of.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 4 << 30  # bytes of address space that a command may take beyond what the imports took
FILE_SIZE = 256 << 20
EVENTS = ("socket.connect", "socket.getaddrinfo", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn")
WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")


# What a command imports when it runs, so that its forks have it already.
IMPORTS = {
    "upscale": ("av", "sr_experiments.inference.upscale", "sr_experiments.inference.loading"),
    "evaluate": ("av", "sr_experiments.commands.evaluate", "sr_experiments.evaluation.command"),
    "export": ("sr_experiments.commands.export", "sr_experiments.export.export", "sr_experiments.export.card"),
    "compare": ("sr_experiments.report.command", "sr_experiments.report.page", "omegaconf"),
    "runs": ("sr_experiments.runs.listing", "omegaconf"),
    "train.py": ("hydra", "av", "sr_experiments.training.run"),
}


def serve() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared: set[str] = set()
    for line in sys.stdin:
        request = json.loads(line)
        command = request["argv"][min(1, request["argv"][0] == "sr")]
        wanted = {command, *request["imports"]}
        if not wanted <= prepared:
            prepare(command, wanted)
            prepared |= wanted
        answers.write(json.dumps(attempt(request)) + "\n")
        answers.flush()


def prepare(command: str, wanted: set[str]) -> None:
    """Import what the command needs, and let it fail once, so that what it does only the first time is done."""
    for module in [module for name in wanted for module in IMPORTS.get(name, () if name == command else (name,))]:
        importlib.import_module(module)
    if command in IMPORTS and command != "train.py":
        from sr_experiments.cli import main

        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
            sys.argv = ["sr", command, "/absent"]
            main()
    gc.collect()
    gc.freeze()  # or every fork would copy all of it


def attempt(request: dict[str, Any]) -> dict[str, Any]:
    """Run `argv` (of `sr`, or of `train.py`) in folder `cwd` for at most `seconds` of processor time."""
    cwd = Path(request["cwd"])
    records = {name: cwd / f".{name}" for name in ("out", "err", "events", "resident")}
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(request, records)
    deadline = began + 4 * request["seconds"]  # others may use the machine, too
    status = 0
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    said = {name: path.read_text(errors="replace") for name, path in records.items()}
    for path in records.values():
        path.unlink()
    return {
        "code": code,
        "out": said["out"],
        "err": said["err"],
        "events": [json.loads(line) for line in said["events"].splitlines()],
        "seconds": usage.ru_utime + usage.ru_stime,
        "grown": max(usage.ru_maxrss * 1024 - int(said["resident"] or 0), 0),
    }


def _child(request: dict[str, Any], records: dict[str, Path]) -> None:
    os.setpgid(0, 0)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    sys.dont_write_bytecode = True  # what Python writes for itself is none of the command's files
    tempfile.tempdir = None  # found anew, in TMPDIR
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(records[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    events = os.open(records["events"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    taken, resident = (int(n) * resource.getpagesize() for n in Path("/proc/self/statm").read_text().split()[:2])
    records["resident"].write_text(str(resident))
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    seconds = int(request["seconds"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            written = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not written or isinstance(path, int):
                return
        elif event not in EVENTS and event not in WRITES:
            return
        what = [os.fsdecode(a) if isinstance(a, str | bytes | os.PathLike) else repr(a) for a in arguments]
        os.write(events, json.dumps([event, *what]).encode() + b"\n")

    code: Any = 1
    try:
        sys.argv = request["argv"]
        sys.addaudithook(audit)
        if request["argv"][0] == "train.py":
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        else:
            from sr_experiments.cli import main

            main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
