"""Which samples form the batch of a step: pure arithmetic, so that a sampler has no state to save."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Sampler


@dataclass(eq=False)
class StepBatches(Sampler[list[Any]]):
    """Batch sampler that yields the batches from the current step to the next validation.

    The batch of step s on rank r of W is samples [(s * W + r) * B, (s * W + r + 1) * B) or, in a stage with smaller
    batches, the first of these. Each `iter()` starts at the current step and stops at the next validation, so one
    pass over the loader spans the steps between two validations. It has no length, since passes can differ.
    """

    current_step: Callable[[], int]  # returns the number of the next step; called at every `iter()`
    batch_size: int  # largest number of samples per batch and rank, B
    next_validation: Callable[[int], int]  # returns the step of the first validation after a step
    clips: Callable[[int], tuple[int, int]] | None = None  # returns numbers of clips, and of frames per clip, of a step
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[list[Any]]:
        start = self.current_step()
        for step in range(start, self.next_validation(start)):
            yield self.samples(step)

    def samples(self, step: int) -> list[Any]:
        """Return the dataset keys of a step's batch: sample numbers or, of clips, (number, frames)."""
        # Sample numbers advance by the full batch size in every stage, so a step never shares samples with another.
        first = (step * self.world_size + self.rank) * self.batch_size
        if self.clips is None:
            return list(range(first, first + self.batch_size))
        count, frames = self.clips(step)
        return [(n, frames) for n in range(first, first + count)]


def next_validation(step: int, val_every: int, ends: Sequence[int]) -> int:
    """Return the step of the next validation: a multiple of `val_every`, or one of the `ends` of stages.

    The last of these is the end of the run: from there on, return `step`.
    """
    later_ends = [end for end in ends if end > step]
    return min((step // val_every + 1) * val_every, later_ends[0]) if later_ends else step
