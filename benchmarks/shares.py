"""Processor time of every loss, optimiser and augmentation against that of a training step's forward and backward pass.

    python benchmarks/shares.py --json shares.json
    python benchmarks/shares.py --batch 8 --crop 64 --precision bf16    # the setting of trainings.py --only 'choice_*'

MSRResNet as published, one thread: processor time, which other programs' load changes little. A loss's time is that of
its value and its gradient, beyond what the network takes. An optimiser's time is the mean over updates, since soap
renews its bases at every tenth; the others' is the least.
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
import yaml

from sr_experiments.data.augments import AUGMENTS, Augments
from sr_experiments.generators import GENERATORS
from sr_experiments.losses import LOSSES
from sr_experiments.losses.objective import OWN_SETTINGS, inputs_of
from sr_experiments.pretrained.fetch import WeightsUnavailable
from sr_experiments.registry import build
from sr_experiments.training.optimizers import OPTIMIZERS, make_optimizers

RATE, SCALE = 1e-6, 4
CONF = Path(__file__).resolve().parents[1] / "conf/loss"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=128, help="side of the HR crops")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--updates", type=int, default=20, help="of each of them, after one that is not timed")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = GENERATORS["msrresnet"](scale=SCALE).to(memory_format=torch.channels_last)
    hr = torch.rand(arguments.batch, 3, arguments.crop, arguments.crop).contiguous(memory_format=torch.channels_last)
    lr = F.avg_pool2d(hr, SCALE)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16")

    def learn() -> None:
        network.zero_grad()
        with autocast:
            loss = F.l1_loss(network(lr), hr)
        loss.backward()

    step = min([seconds(learn) for _ in range(1 + arguments.updates)])
    print(f"forward and backward pass: {step:.3f} s of processor time", flush=True)  # noqa: T201
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    shares: dict[str, float] = {}

    def note(name: str, of_step: float) -> None:
        shares[name] = of_step / step
        print(f"{name:40}{shares[name]:8.2%}", flush=True)  # noqa: T201

    sr = (hr + 0.05 * torch.randn_like(hr)).requires_grad_()
    compared = {"lr": lr, "target": hr, "hr": hr, "sr": sr, "sr_ema": (hr + 0.03).clamp(0, 1)}
    for file in [file for group in ("pixel", "terms", "perceptual") for file in sorted(CONF.glob(f"{group}/*.yaml"))]:
        settings = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key not in OWN_SETTINGS}
        name = f"loss/{file.parent.name}={file.stem}"
        if settings["name"] == "none":
            continue
        try:
            loss = build(name, LOSSES, settings)
        except WeightsUnavailable as error:
            print(f"{name} is LEFT OUT: {error}")  # noqa: T201
            continue

        def compare() -> None:
            with autocast:
                value = loss(*(compared[key] for key in inputs_of(loss)))  # noqa: B023
            value.backward()

        note(name, min(seconds(compare) for _ in range(1 + arguments.updates)))
    for name in sorted(OPTIMIZERS):
        optimizers, times = make_optimizers(network, {"name": name}, RATE), []
        for _ in range(1 + arguments.updates):
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter.grad = gradient.clone()  # some optimisers overwrite it
            times.append(sum(seconds(optimizer.step) for optimizer in optimizers))
        note(f"optim={name}", statistics.mean(times[1:]))
    for name in sorted(AUGMENTS):
        augments, rng = Augments({name: {"name": name, "probability": 1.0}}), torch.Generator().manual_seed(0)
        note(f"augment={name}", min(seconds(lambda: augments(lr, hr, rng)) for _ in range(20)))  # noqa: B023
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": step, "shares": shares}, indent=2) + "\n")


def seconds(action: Callable[[], object]) -> float:
    """Return the processor time of an action."""
    start = time.process_time()
    action()
    return time.process_time() - start


if __name__ == "__main__":
    main()
