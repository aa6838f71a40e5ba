"""Stop a run on a signal: finish the step, save, and end the process as the sender of the signal expects."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import pytorch_lightning as pl
import torch

from sr_experiments.runs.folder import SLURM_JOB

log = logging.getLogger(__name__)

REQUEUE = signal.SIGUSR2  # sent by Slurm near the time limit of a job; submitit's handler then requeues the job
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, REQUEUE)
SAME = 1.0  # seconds in which a signal is the same one again: `timeout` and `uv run` both pass one on to the process
LONGEST_GRACE = 3600.0  # seconds that a stopped job waits for Slurm to end it; Slurm's KillWait is usually 30


class Interrupted(BaseException):
    """A signal asked the run to stop, and it has saved itself, unless it was asked twice; `signal` is its number."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signal = signum


class StopSignal:
    """A signal that asks this process, or another of the same run, to stop after the current step."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._time = 0.0  # of its arrival

    def listen(self) -> None:
        """Install our handlers in place of Lightning's; for use within `restored_signal_handlers`.

        A signal that is ignored stays so: a shell starts jobs in the background of a script without SIGINT, so that
        Ctrl-C ends only what is in the foreground.
        """
        for number in STOP_SIGNALS:
            # SIGUSR2 ends a process by default: it is ours only where submitit has a handler for it.
            handler = signal.getsignal(number)
            if handler != signal.SIG_IGN and (number != REQUEUE or callable(handler)):
                with contextlib.suppress(ValueError):  # handlers can be set in the main thread only
                    signal.signal(number, self._on_signal)

    def received(self, trainer: pl.Trainer) -> int:
        """Return the signal that any rank has received, 0 for none; all ranks get the same answer."""
        if trainer.world_size == 1:
            return self._received or 0
        number = torch.tensor(self._received or 0, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
        return int(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            if time.monotonic() - self._time < SAME:
                return
            if number == signal.SIGTERM and SLURM_JOB in os.environ:
                return  # Slurm sends SIGTERM more than once; it ends a job with SIGKILL
            raise Interrupted(number)
        self._received, self._time = number, time.monotonic()
        log.warning("%s: finishing this step, then saving (again to stop at once)", signal.Signals(number).name)


@contextlib.contextmanager
def restored_signal_handlers() -> Iterator[None]:
    """Restore the handlers of our signals on exit, whatever Lightning and we install inside the block."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError):  # handlers can be set in the main thread only
                signal.signal(number, handler)


def exit_interrupted(stop: Interrupted) -> NoReturn:
    """End this process with 128 + the signal's number, or as Slurm and submitit need it to requeue the job."""
    if stop.signal == REQUEUE:
        signal.raise_signal(REQUEUE)  # restored, submitit's handler requeues the job and exits
    if stop.signal == signal.SIGTERM and SLURM_JOB in os.environ:
        # Slurm requeues a preempted job only if it still runs at the end of its grace time, when it is killed.
        log.info("saved; waiting for Slurm to requeue or end this job")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(LONGEST_GRACE)
    raise SystemExit(128 + stop.signal) from stop
