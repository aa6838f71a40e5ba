"""Train a super-resolution network: `python train.py model=rrdbnet loss=gan`; see `python train.py --help`."""

import os
import sys

from sr_experiments.config.quoting import SCRIPT
from sr_experiments.processes.threads import let_waiting_threads_sleep
from sr_experiments.train import train

# Hydra's completion for fish completes the arguments of files that hold the words @hydra.main.
if __name__ == "__main__":
    let_waiting_threads_sleep()
    os.environ[SCRIPT] = sys.argv[0]  # commands that are printed begin as this one did, also those of a sweep's jobs
    train(sys.argv[1:], "train.py")
