"""Rehearsal: a few training steps of every stage, to find errors, speed, memory and time spent waiting for data."""

import math
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from sr_experiments.display.terminal import readable_seconds
from sr_experiments.doctor.findings import Finding
from sr_experiments.training.assemble import Assembly
from sr_experiments.training.run import user_error
from sr_experiments.training.trainer import precision_of

WARM_UP = 3  # steps that are not timed: memory is allocated and kernels are chosen
MAX_WAITING = 0.05  # share of the time


@dataclass
class _Clock(Callback):
    """Time every step and every wait for a batch, and note the device: the module has left it when `fit` returns."""

    steps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    last: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.device = pl_module.device

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._begin = _now(self.device)
        if self.last is not None:
            self.waits.append(self._begin - self.last)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.check_finite()  # a NaN ends the rehearsal, and the device has done its work
        self.last = _now(self.device)
        self.steps.append(self.last - self._begin)


def rehearse(assembly: Assembly, config: dict[str, Any], steps: int) -> list[Finding]:
    """Train every stage for some steps that are not timed and `steps` that are; nothing is saved."""
    module, data = assembly.module, assembly.data
    full = module.max_steps
    ends = sorted(module.stage_ends) or [full]
    seconds_left, waits, slowest, start = 0.0, 0.0, 0.0, 0
    findings = []
    for end in ends:
        clock = _Clock()
        for network in module.networks().values():  # the previous stage may have frozen it
            network.requires_grad_(True)
        # What trains, and on what, follows from the step: this starts in the middle of the run.
        module.step, module.max_steps = start, min(start + WARM_UP + steps, end)
        try:
            _trainer(config, clock).fit(module, data)
        except Exception as error:
            message = user_error(error, Path(config["output_dir"]))
            if message is None:
                raise
            return [Finding("a few steps", "fail", str(message), "see there")]
        timed, waited = clock.steps[WARM_UP:] or clock.steps, clock.waits[WARM_UP:] or clock.waits or [0.0]
        step, wait = sum(timed) / len(timed), sum(waited) / len(waited)
        seconds_left += (end - start) * (step + wait)
        waits, slowest = max(waits, wait / (step + wait)), max(slowest, step)
        name = f" of stage {module.stage_ends[end]}" if end in module.stage_ends else ""
        speed = f"{1 / (step + wait):.2f} steps/s ({step * 1e3:.0f} ms a step)"
        findings.append(Finding(f"a few steps{name}", "pass", f"{speed} on {clock.device}, losses are finite"))
        start = end
    module.max_steps = full
    whole = Finding("whole run", "pass", f"about {readable_seconds(seconds_left)}, without validation")
    return [*findings, _data_finding(assembly, waits, slowest), _memory_finding(clock.device), whole]


def _trainer(config: dict[str, Any], clock: _Clock) -> pl.Trainer:
    t = config["trainer"]
    return pl.Trainer(
        accelerator=t["accelerator"],
        devices=1,
        precision=precision_of(t["precision"], t["accelerator"]),
        max_epochs=-1,
        limit_val_batches=0,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _data_finding(assembly: Assembly, share: float, step: float) -> Finding:
    data = assembly.data
    found = f"{share:.0%} of the time is spent waiting for data, with data.num_workers={data.num_workers}"
    if share <= MAX_WAITING:
        return Finding("data", "pass", found)
    begin = time.perf_counter()
    # Samples are decoded in this process, to estimate how many workers would keep up.
    for n in range(4):
        data.train_set[(n, data.clips_of_step(0)[1]) if data.clips else n]
    each = (time.perf_counter() - begin) / 4
    enough = math.ceil(each * data.batch_size / step)
    cached = "" if data.train_set.in_memory else ", or data.cache=true"
    return Finding("data", "warn", found, f"data.num_workers={enough} would keep up{cached}")


def _memory_finding(device: torch.device) -> Finding:
    if device.type == "cuda":
        peak, total = torch.cuda.max_memory_reserved(device), torch.cuda.mem_get_info(device)[1]
        status = "warn" if peak > 0.9 * total else "pass"
        todo = "validation needs some too: lower data.batch_size or data.crop" if status == "warn" else ""
        return Finding("memory", status, f"{peak / 2**30:.1f} of {total / 2**30:.1f} GiB of the GPU", todo)
    # In KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Finding("memory", "pass", f"{peak / 2**30:.1f} GiB at most, of main memory")


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
