"""Training steps of the framework, with all features enabled, compared with plain loops over the same batches.

    python benchmarks/training.py --json training.json
    python benchmarks/training.py --networks msrresnet --precision bf16-mixed --blocks 4 --steps 6

Each step of the framework (the real trainer: loader, LightningModule, EMA, metrics.csv, W&B offline, progress,
checkpoints) is followed by a step of `plain` and one of `bare`, so that the load of other programs affects all of them.
`plain` is the usual loop: eager, fp32, NCHW, PyTorch's default Adam. `bare` is an equally short loop with the
framework's precision, memory layout and fused Adam; the difference to it is the framework's overhead. Both have their
data in memory as float tensors. The framework's time is measured from the end of one batch to the end of the next,
including reading 8-bit samples from a dataset, collating and logging. All three start from the same weights and see the
same batches, so their losses can be compared. Medians; `least` is for the fastest step of each, which varies less on a
machine with other load. Compact is also compared with MSRResNet in the bare loop. With a GPU, see also
benchmarks/training_on_gpu.py.
"""

import argparse
import cProfile
import json
import os
import platform
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console
from torch.utils.data import Dataset

from sr_experiments.display.logging_setup import log_training
from sr_experiments.generators import GENERATORS
from sr_experiments.training.assemble import Assembly, assemble
from sr_experiments.training.trainer import make_loggers, make_trainer

CONF = Path(__file__).resolve().parents[1] / "conf"
SCALE, RATE, BETAS = 4, 2e-4, (0.9, 0.99)
BATCHES = {"msrresnet": 16, "rrdbnet": 4, "compact": 16}
OF_MSRRESNET = {"compact": 5.0}  # times its steps a second that are wanted, on the same batches
WANTED = {"32-true": 1.25, "bf16-mixed": 1.8}
OVERHEAD, VALIDATION = 0.03, 0.05
Batch = tuple[torch.Tensor, torch.Tensor]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--precision", nargs="*", choices=WANTED, default=list(WANTED))
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each loop, after two warm-up steps")
    parser.add_argument("--tiny-steps", type=int, default=300, help="steps of the tiny network; 0 to skip it")
    parser.add_argument("--validation-steps", type=int, default=6, help="steps between validations; 0 to skip it")
    parser.add_argument("--blocks", type=int, help="blocks of the networks, to shorten a run; by default as published")
    parser.add_argument("--crop", type=int, default=128, help="side of the HR crops")
    parser.add_argument("--threads", type=int, help="threads of torch; by default all cores")
    parser.add_argument("--profile", action="store_true", help="show where the tiny network's steps spend their time")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    os.environ["WANDB_MODE"] = "offline"
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    log_training(Console(stderr=True))
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch",
        "torch": torch.__version__,
        "crop": arguments.crop,
        "networks": {},
    }
    for name in arguments.networks:
        blocks = [f"model.blocks={arguments.blocks}"] if arguments.blocks else []
        for precision in arguments.precision:
            measured = compared(
                [f"model={name}", *(blocks if name != "compact" else [])],
                BATCHES[name],
                arguments.crop,
                precision,
                arguments.steps,
                plain=True,
                beside="msrresnet" if name in OF_MSRRESNET else None,
            )
            figures["networks"][f"{name} {precision}"] = measured
            print(f"{name}, batch {BATCHES[name]}, {' '.join(blocks) or 'all blocks'}, {precision}")  # noqa: T201
            report_steps(measured, precision)
            if name in OF_MSRRESNET:
                ratio = measured["milliseconds"]["msrresnet"] / measured["milliseconds"]["bare"]
                print(f"  MSRResNet / bare: {ratio:.2f} (wanted: {OF_MSRRESNET[name]})")  # noqa: T201
    if arguments.tiny_steps:
        tiny = ["model=msrresnet", "model.blocks=1", "model.features=8"]
        measured = compared(tiny, 2, 32, "32-true", arguments.tiny_steps, plain=False, profile=arguments.profile)
        overhead = measured["milliseconds"]["framework"] - measured["milliseconds"]["bare"]
        figures["tiny"] = {**measured, "overhead_milliseconds": overhead}
        print(f"tiny network: {overhead:.2f} ms a step over the bare loop's {measured['milliseconds']['bare']:.2f}")  # noqa: T201
    if arguments.validation_steps:
        figures["validation"] = validation_share(arguments.validation_steps)
        report_validation(figures["validation"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def compared(
    model: list[str],
    batch: int,
    crop: int,
    precision: str,
    steps: int,
    plain: bool,
    profile: bool = False,
    beside: str | None = None,
) -> dict[str, Any]:
    """Milliseconds of the framework's steps, of the bare loop's and of the plain one's, and their losses.

    With `beside`, also those of another network in the bare loop.
    """
    with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
        config = composed(
            *model,
            f"data.batch_size={batch}",
            f"data.crop={crop}",
            f"trainer.precision={precision}",
            f"trainer.max_steps={steps + 2}",
            "trainer.accelerator=cpu",
            "loss/pixel=l1",
            "optim/schedule=constant",
            f"optim.learning_rate={RATE}",
            "++data.val.sample.name=sample",
            "++data.val.sample.limit=1",
            "++data.val.sample.size=64",
        )
        assembly = assemble(config)
        samples = Samples(assembly, batch)
        assembly.data.train_set = samples
        weights = assembly.module.generator.state_dict()
        peers = {"bare": loop(config["model"], weights, precision, fast=True)}
        if beside:
            other = composed(f"model={beside}")["model"]
            peers[beside] = loop(other, None, precision, fast=True)
        if plain:
            peers["plain"] = loop(config["model"], weights, "32-true", fast=False)
        clock = Clock(peers, samples.batches, assembly, cProfile.Profile() if profile else None)
        fit(config, assembly, Path(name), clock)
    times = {key: values[2:] for key, values in clock.times.items()}
    medians = {key: statistics.median(values) for key, values in times.items()}
    figures: dict[str, Any] = {"milliseconds": medians, "least": {key: min(values) for key, values in times.items()}}
    figures |= {"overhead": medians["framework"] / medians["bare"] - 1, "losses": clock.losses, "all": times}
    if plain:
        ours, theirs = (np.array(clock.losses[key]) for key in ("framework", "plain"))
        figures["speedup"] = medians["plain"] / medians["framework"]
        figures["speedup_of_least"] = figures["least"]["plain"] / figures["least"]["framework"]
        figures["largest_loss_difference"] = float(np.abs(ours / theirs - 1).max())
        figures["mean_loss_difference"] = float(abs(ours.mean() / theirs.mean() - 1))
    return figures


def composed(*overrides: str) -> dict[str, Any]:
    """The configuration of `python train.py` with these settings."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("train", list(overrides)), resolve=True)  # type: ignore[return-value]


def fit(config: dict[str, Any], assembly: Assembly, folder: Path, callback: pl.Callback) -> None:
    """Train as `train.py` does, with one callback more."""
    trainer, *_ = make_trainer(config, assembly, folder, Console(stderr=True), begins=False)
    trainer.loggers = loggers = make_loggers(config, folder, assembly.module.validation)
    trainer.callbacks.append(callback)  # type: ignore[attr-defined]
    trainer.fit(assembly.module, assembly.data)
    for logger in loggers:
        logger.finalize("success")


class Samples(Dataset[dict[str, torch.Tensor]]):
    """8-bit pairs of the run's own samples, in memory; four batches, over and over."""

    in_memory = True
    clips = False

    def __init__(self, assembly: Assembly, batch: int) -> None:
        hr = torch.stack([assembly.data.train_set[n]["hr"] for n in range(4 * batch)])
        self.paths = assembly.data.train_set.paths
        self.hr = hr
        with torch.no_grad():
            lr = assembly.module.degradation(hr.float() / 255, torch.Generator().manual_seed(0), 1)
        self.lr = (lr * 255).round().clamp(0, 255).byte()
        self.batches = [
            (self.lr[i : i + batch].float() / 255, hr[i : i + batch].float() / 255) for i in range(0, len(hr), batch)
        ]

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        """Sample number n."""
        n %= len(self.hr)
        return {"hr": self.hr[n], "lr": self.lr[n], "skipped": torch.tensor(-1)}


def loop(model: dict[str, Any], weights: Any, precision: str, fast: bool) -> Callable[[Batch], float]:
    """A step of a plain training loop; `fast` with fused Adam and channels last."""
    arguments = {key: value for key, value in model.items() if key != "name"}
    network = GENERATORS[model["name"]](scale=SCALE, **arguments)
    if weights is not None:
        network.load_state_dict(weights)
    layout = torch.channels_last if fast else torch.contiguous_format
    network.to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), RATE, BETAS, fused=fast or None)

    def step(batch: Batch) -> float:
        lr, hr = (images.contiguous(memory_format=layout) for images in batch)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = F.l1_loss(network(lr), hr)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


class Clock(pl.Callback):
    """Times the framework from the end of one batch to the end of the next, and does the peers' steps between."""

    def __init__(
        self, peers: dict[str, Any], batches: list[Batch], assembly: Assembly, profile: cProfile.Profile | None
    ) -> None:
        self.peers = peers
        self.batches = batches
        self.profile = profile
        self.times: dict[str, list[float]] = {key: [] for key in ("framework", *peers)}
        self.losses: dict[str, list[float]] = {key: [] for key in ("framework", *peers)}
        train_batch = assembly.module.train_batch

        def noted(*pair: torch.Tensor) -> dict[str, torch.Tensor]:
            scalars = train_batch(*pair)
            self.losses["framework"].append(float(scalars["loss/pixel"]))
            return scalars

        assembly.module.train_batch = noted  # type: ignore[method-assign]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before the first batch."""
        self.begin = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Everything else has been done with this batch."""
        if self.profile:
            self.profile.disable()
        self.times["framework"].append((time.perf_counter() - self.begin) * 1e3)
        for key, step in self.peers.items():
            start = time.perf_counter()
            self.losses[key].append(step(self.batches[(pl_module.step - 1) % len(self.batches)]))
            self.times[key].append((time.perf_counter() - start) * 1e3)
        if self.profile and pl_module.step >= pl_module.max_steps:
            pstats.Stats(self.profile).sort_stats("tottime").print_stats(25).sort_stats("cumtime").print_stats(60)
        elif self.profile:
            self.profile.enable()
        self.begin = time.perf_counter()


# -- validation --------------------------------------------------------------------------------------------


class ValidationClock(pl.Callback):
    """Times steps and validations, with all that the other callbacks do in them."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.validations: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After a validation, too."""
        self.begin = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step is done."""
        self.steps.append(time.perf_counter() - self.begin)
        self.begin = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All is measured, drawn, logged and saved."""
        self.validations.append(time.perf_counter() - self.begin)


def validation_share(steps: int) -> dict[str, Any]:
    """Of the default run, from its seconds of a step, of the first validation and of a later one."""
    default = composed()["trainer"]
    with tempfile.TemporaryDirectory(prefix="sr_benchmark_") as name:
        config = composed(f"trainer.max_steps={4 * steps}", f"trainer.val_every={steps}")
        clock = ValidationClock()
        fit(config, assemble(config), Path(name), clock)
    step, first, later = (
        statistics.median(values) for values in (clock.steps[2:], clock.validations[:1], clock.validations[1:])
    )
    count = default["max_steps"] // default["val_every"]
    spent = first + (count - 1) * later
    return {
        "step_seconds": step,
        "first_seconds": first,
        "later_seconds": later,
        "default_run_seconds": default["max_steps"] * step + spent,
        "share": spent / (default["max_steps"] * step + spent),
        "share_of_later": later / (default["val_every"] * step + later),
        "all": clock.validations,
    }


# -- report ------------------------------------------------------------------------------------------------


def report_steps(figures: dict[str, Any], precision: str) -> None:
    """Print what was measured of one network."""
    for key, value in figures["milliseconds"].items():
        spread = f"{min(figures['all'][key]):.0f} to {max(figures['all'][key]):.0f}"
        print(f"  {key:10} {value:8.0f} ms a step ({spread})")  # noqa: T201
    least = figures["speedup_of_least"]
    print(f"  plain / framework: {figures['speedup']:.2f}, of least {least:.2f} (wanted: {WANTED[precision]})")  # noqa: T201
    print(f"  framework / bare - 1: {figures['overhead']:.1%} (wanted: at most {OVERHEAD:.0%})")  # noqa: T201
    largest, mean = figures["largest_loss_difference"], figures["mean_loss_difference"]
    print(f"  losses against plain: largest difference {largest:.1e}, of the means {mean:.1e}")  # noqa: T201


def report_validation(figures: dict[str, Any]) -> None:
    """Print what the default run spends."""
    first, later, run = (figures[key] for key in ("first_seconds", "later_seconds", "default_run_seconds"))
    print(f"validation: {first:.2f} s, then {later:.2f} s; a step {figures['step_seconds']:.3f} s")  # noqa: T201
    print(f"default run: {run:.0f} s, validation {figures['share']:.1%} of it (wanted: at most {VALIDATION:.0%})")  # noqa: T201


if __name__ == "__main__":
    main()
