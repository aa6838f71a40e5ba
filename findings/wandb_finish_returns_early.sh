#!/usr/bin/env bash
# wandb's finish() returns before an offline run is on disk: a copy made right after it can be empty.
#
# One would expect: run.finish() "marks the completion" of a run and "ensures all data is synced to the server", says
#   its docstring. Offline the .wandb file takes the server's place, so it is complete when finish() returns.
# What happens: the records of a short run, and the last block (up to 32 KB) of a long one, stay in the memory of
#   the wandb-core process. The very last message of finish() tells it to write them, and finish() doesn't wait for an
#   answer. Mostly that takes milliseconds, and the file is whole; on a busy machine it takes longer. To show it each
#   time, this script halts wandb-core when finish() prints its last line: finish() returns all the same, and the file
#   lacks every record of 10 steps (config, metrics and summary), and the last ones of 3000.
# Why it matters: on a cluster without network the run trains offline on the node's own disk, and the job's last step
#   copies it to shared storage, where it is synced later. That copy can lack the config, the last validation scores
#   and the summary, and looks like a run that crashed, though training ended well.
# Instead: wandb.teardown() before the copy, which waits for wandb-core to end, or copy after the Python process ended.
# Versions: wandb 0.31.0, Python 3.11, Linux x86-64 (it looks for wandb-core in /proc).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" wandb==0.31.0
cd "$work"
cat > train.py <<'PY'
import os
import pathlib
import signal
import struct
import sys
import threading

import wandb

BLOCK, HEADER = 32768, 7  # of the LevelDB log format; the file's own header is 7 bytes too


def records(data):
    """How many complete records the bytes of a .wandb file hold."""
    count, place = 0, HEADER
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # too short for a record: padding
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if place + HEADER + length > len(data) or not kind:
            break
        place += HEADER + length
        count += kind in (1, 4)  # FULL or LAST
    return count


class Stderr:
    """Halts wandb-core as soon as finish() prints its last line."""

    def __init__(self, real, pid):
        self.real, self.pid, self.halted = real, pid, False

    def write(self, text):
        if "Find logs at" in text:
            os.kill(self.pid, signal.SIGSTOP)
            self.halted = True
        return self.real.write(text)

    def __getattr__(self, name):
        return getattr(self.real, name)


steps = int(sys.argv[1])
run = wandb.init(mode="offline", project="sr", config={"scale": 4, "lr": 1e-4})
for step in range(steps):
    run.log({"val/psnr": 30 + step / steps, "val/ssim": 0.9})
log = pathlib.Path(run.settings.sync_file)
children = " ".join(path.read_text() for path in pathlib.Path("/proc/self/task").glob("*/children")).split()
(pid,) = (int(child) for child in children if "wandb-core" in pathlib.Path("/proc", child, "comm").read_text())
sys.stderr = stderr = Stderr(sys.stderr, pid)
run.finish()
copied = log.read_bytes()
assert stderr.halted
threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
wandb.teardown()
whole = log.read_bytes()
sys.stderr = stderr.real
lacks = records(whole) - records(copied)
print(
    f"{steps:4} steps: after finish() {len(copied):6} bytes, {records(copied):4} records;"
    f" after teardown() {len(whole):6} bytes, {records(whole):4} records: {lacks} were missing"
)
assert whole.startswith(copied) and records(whole) > steps
sys.exit(not (lacks > 0 and (steps > 100 or not records(copied))))
PY
venv/bin/python -c 'import wandb; print("wandb", wandb.__version__)'
if venv/bin/python train.py 10 && venv/bin/python train.py 3000; then
    echo "As found."
else
    echo "The behaviour has changed."
    exit 1
fi
