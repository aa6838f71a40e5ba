#!/usr/bin/env bash
# Encoding a few frames of AV1 as root makes the whole rest of the program a real-time one.
#
# One would expect: an encoder may choose the priority of its own threads; the thread that calls it keeps the usual one
#   (SCHED_OTHER), and so do threads and processes that it starts later. x264, x265, libaom and libvpx do so.
# What happens: SVT-AV1, opened where the process may do so (root, or CAP_SYS_NICE), gives the calling thread SCHED_FIFO with
#   priority 99, as it gives its own threads, and leaves it when it is closed. Threads and processes started afterwards inherit
#   it: thread pools of NumPy and PyTorch, workers of a data loader. Whatever shares their cores all but stops.
# Why it matters: root is the usual user in a container. A training that makes AV1 clips for its degradations, or a script that
#   encodes a preview, starves the machine's other programs, its own data loader and ssh included, for as long as it runs.
# Instead: note os.sched_getscheduler(0) and os.sched_getparam(0) before the encoder is opened, and give them back to all
#   threads in /proc/self/task afterwards.
# Versions: av 18.1.0 (its own FFmpeg and SVT-AV1), numpy 2.4.6, Python 3.11, Linux, x86-64. Run it as root.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" av==18.1.0 numpy==2.4.6
cd "$work"
SVT_LOG=1 venv/bin/python - <<'PY'
import os
import subprocess
import sys
import time

import av
import numpy as np

NAMES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO"}
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
except PermissionError:
    sys.exit("this process may not become a real-time one: run it as root, with CAP_SYS_NICE")


def policy():
    return NAMES[os.sched_getscheduler(0)], os.sched_getparam(0).sched_priority


def encode(codec):
    with av.open(f"{codec}.mkv", "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width = stream.height = 128
        for level in range(0, 250, 50):
            frame = av.VideoFrame.from_ndarray(np.full((128, 128, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def share_of_another_program():
    """Of one core, what another program gets while this one computes for two seconds."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                             preexec_fn=lambda: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)))
    def used():
        fields = open(f"/proc/{other.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    time.sleep(0.5)
    start, before = time.monotonic(), used()
    while time.monotonic() < start + 2:
        pass
    share = (used() - before) / 2
    other.kill()
    return share


print("av", av.__version__, {n: ".".join(map(str, v)) for n, v in av.library_versions.items() if n == "libavcodec"})
usual = {}
for codec in ("libx264", "libx265", "libvpx-vp9"):
    encode(codec)
    usual[codec] = policy()
    print(f"after {codec:10}: this thread is {usual[codec]}")
cores = os.sched_getaffinity(0)
fair = share_of_another_program()
os.sched_setaffinity(0, cores)
encode("libsvtav1")
after = policy()
child = subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True, text=True)
print(f"after libsvtav1 : this thread is {after}, a process that it starts is {NAMES[int(child.stdout)]}")
starved = share_of_another_program()
print(f"another program on the same core gets {fair:.0%} of it before, {starved:.0%} afterwards")
as_found = (set(usual.values()) == {("SCHED_OTHER", 0)} and after == ("SCHED_FIFO", 99)
            and int(child.stdout) == os.SCHED_FIFO and starved < fair / 2)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
