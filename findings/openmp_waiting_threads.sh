#!/usr/bin/env bash
# PyTorch on a CPU that other programs use too is many times slower than its share of the CPU, for waiting threads spin.
#
# One would expect: with one other busy program for each core, a network takes twice its time: each gets half of every
#   core. The processor's seconds that it takes stay the same.
# What happens: a network of small convolutions with two threads takes 10 to 200 times its time, and several times the
#   processor's seconds. Each operation ends when the last thread is done; the others wait for it in a loop that does
#   nothing, for the milliseconds that libgomp (the OpenMP in PyTorch's wheels) spins before it sleeps. The scheduler
#   takes the spinning for work, and what it gives to that, the thread that the others wait for doesn't get.
# Why it matters: training and inference beside anything else, such as another training, an encoder or other threads of
#   the same process, on shared machines and laptops. A third of the time of short commands can be lost that way, too.
# Instead: OMP_WAIT_POLICY=PASSIVE in the environment before torch is imported: threads that wait sleep at once. With
#   nothing else running it costs some microseconds for each operation. The figures are of a virtual machine whose cores
#   others shared.
# Versions: torch 2.15.0, Python 3.11, x86-64 Linux; at least 2 cores.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 numpy==2.4.6
cd "$work"
cat > network.py <<'PY'
import subprocess
import sys
import time

import torch

torch.set_num_threads(2)
network = torch.nn.Sequential(*(torch.nn.Conv2d(16, 16, 3, padding=1) for _ in range(8)))
image = torch.rand(1, 16, 32, 32)


def measured():
    """Milliseconds of one run, and those of the processor, over two seconds."""
    wall, processor, runs = time.perf_counter(), time.process_time(), 0
    while runs == 0 or time.perf_counter() - wall < 2:
        network(image)
        runs += 1
    return 1e3 * (time.perf_counter() - wall) / runs, 1e3 * (time.process_time() - processor) / runs


with torch.inference_mode():
    measured()
    alone = measured()
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    beside = measured()
for other in others:
    other.kill()
print(*alone, *beside, torch.__version__)
PY
venv/bin/python - <<'PY'
import os
import statistics
import subprocess
import sys

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # on two cores, whatever the machine has
usual = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
found = {"default": [], "PASSIVE": []}
for turn in range(3):
    for policy, values in found.items():
        chosen = usual | ({} if policy == "default" else {"OMP_WAIT_POLICY": policy})
        done = subprocess.run([sys.executable, "network.py"], env=chosen, capture_output=True, text=True, check=True)
        *numbers, version = done.stdout.split()
        values.append([float(number) for number in numbers])
print("torch", version, "- milliseconds of eight small convolutions, two threads on two cores, and the processor's")
median = {policy: [statistics.median(one) for one in zip(*values)] for policy, values in found.items()}
for policy, (wall, processor, busy_wall, busy_processor) in median.items():
    print(f"waiting {policy:8} alone {wall:8.2f} ({processor:.2f}), beside two busy programs {busy_wall:8.2f} ({busy_processor:.2f})")
slower, dearer = (median["default"][i] / median["PASSIVE"][i] for i in (2, 3))
print(f"beside others, spinning takes {slower:.1f} times as long and {dearer:.1f} times the processor's time")
as_found = slower > 3 and dearer > 1.5
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
