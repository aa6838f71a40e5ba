"""Processor time of every optimiser and augmentation against that of a training step's forward and backward pass.

    python benchmarks/optimizers.py --json optimizers.json

MSRResNet as published, 16 crops of 128, fp32, one thread: processor time, which other programs' load changes little.
An optimiser's time is the mean over updates, since soap renews its bases at every tenth; an augmentation's the median.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # before torch: threads that wait would count

import torch
import torch.nn.functional as F

from sr_experiments.data.augments import AUGMENTS, Augments
from sr_experiments.generators import GENERATORS
from sr_experiments.training.optimizers import OPTIMIZERS, make_optimizers

RATE = 1e-6


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=20, help="of each optimiser, after one that is not timed")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = GENERATORS["msrresnet"](scale=4).to(memory_format=torch.channels_last)
    lr, hr = torch.rand(16, 3, 32, 32), torch.rand(16, 3, 128, 128)

    def learn() -> None:
        network.zero_grad()
        F.l1_loss(network(lr.contiguous(memory_format=torch.channels_last)), hr).backward()

    step = statistics.median(seconds(learn) for _ in range(3))
    print(f"forward and backward pass: {step:.2f} s of processor time")  # noqa: T201
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    shares = {}
    for name in sorted(OPTIMIZERS):
        optimizers, times = make_optimizers(network, {"name": name}, RATE), []
        for _ in range(1 + arguments.updates):
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()  # some optimisers overwrite it
            times.append(sum(seconds(optimizer.step) for optimizer in optimizers))
        shares[f"optim={name}"] = statistics.mean(times[1:]) / step
    for name in sorted(AUGMENTS):
        augments, rng = Augments({name: {"name": name, "probability": 1.0}}), torch.Generator().manual_seed(0)
        times = [seconds(lambda: augments(lr, hr, rng)) for _ in range(arguments.updates)]  # noqa: B023
        shares[f"augment={name}"] = statistics.median(times) / step
    for name, share in shares.items():
        print(f"{name:28}{share:8.2%}")  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": step, "shares": shares}, indent=2) + "\n")


def seconds(action: Callable[[], object]) -> float:
    """Return the processor time of an action."""
    start = time.process_time()
    action()
    return time.process_time() - start


if __name__ == "__main__":
    main()
