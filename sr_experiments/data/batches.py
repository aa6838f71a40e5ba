"""Which samples make up which batch: arithmetic on the step, and nothing to save or restore."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler


class StepBatches(Sampler[list[Any]]):
    """Batches from the current step to the next validation.

    The batch of step s on rank r of W is samples [(s * W + r) * B, (s * W + r + 1) * B), or, in a stage with
    smaller batches, the first of these. Each `iter()` begins at the current step and ends at the next
    validation, so that a pass over the loader is the time between two of them. It has no length: passes can
    differ.

    Args:
        current_step: number of the next step, asked at every `iter()`.
        batch_size: the most samples a batch, per rank: B.
        next_validation: step of the validation that comes after a step.
        clips: number and frames of the clips of a step, which are then asked for as (number, frames).
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        current_step: Callable[[], int],
        batch_size: int,
        next_validation: Callable[[int], int],
        clips: Callable[[int], tuple[int, int]] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.current_step = current_step
        self.batch_size = batch_size
        self.next_validation = next_validation
        self.clips = clips
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[Any]]:
        start = self.current_step()
        for step in range(start, self.next_validation(start)):
            yield self.samples(step)

    def samples(self, step: int) -> list[Any]:
        """What the batch of a step is made of, as the dataset is asked for it."""
        first = (step * self.world_size + self.rank) * self.batch_size
        if self.clips is None:
            return list(range(first, first + self.batch_size))
        count, frames = self.clips(step)
        return [(n, frames) for n in range(first, first + count)]


def next_validation(step: int, val_every: int, ends: Sequence[int]) -> int:
    """The first multiple of `val_every`, or end of a stage, after `step`; at the end of the run, that.

    Args:
        step: number of a step.
        val_every: steps between validations.
        ends: steps at which the stages of the run end; the last one is the run's end.
    """
    to_come = [end for end in ends if end > step]
    return min((step // val_every + 1) * val_every, to_come[0]) if to_come else step
