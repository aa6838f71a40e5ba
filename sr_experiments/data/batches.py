"""Which samples form the batch of a step: pure arithmetic, so that a sampler has no state to save."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler


class StepBatches(Sampler[list[Any]]):
    """Batch sampler that yields the batches from the current step to the next validation.

    The batch of step s on rank r of W is samples [(s * W + r) * B, (s * W + r + 1) * B) or, in a stage with smaller
    batches, the first of these. Each `iter()` starts at the current step and stops at the next validation, so one
    pass over the loader spans the steps between two validations. It has no length, since passes can differ.

    Args:
        current_step: returns the number of the next step; called at every `iter()`.
        batch_size: largest number of samples per batch and rank, B.
        next_validation: returns the step of the first validation after a step.
        clips: returns the number of clips and of frames per clip of a step; samples are then (number, frames).
        rank: rank of this process.
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
        """Return the dataset keys of a step's batch."""
        # Sample numbers advance by the full batch size in every stage, so a step never shares samples with another.
        first = (step * self.world_size + self.rank) * self.batch_size
        if self.clips is None:
            return list(range(first, first + self.batch_size))
        count, frames = self.clips(step)
        return [(n, frames) for n in range(first, first + count)]


def next_validation(step: int, val_every: int, ends: Sequence[int]) -> int:
    """Return the step of the next validation: a multiple of `val_every` or the end of a stage; `step` at the run's end.

    Args:
        step: number of a step.
        val_every: steps between validations.
        ends: steps at which the stages end; the last is the end of the run.
    """
    later_ends = [end for end in ends if end > step]
    return min((step // val_every + 1) * val_every, later_ends[0]) if later_ends else step
