"""Which samples make up which batch: arithmetic on the step, and nothing to save or restore."""

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler


class StepBatches(Sampler[list[int]]):
    """Batches from the current step to the next validation.

    The batch of step s on rank r of W is samples [(s * W + r) * B, (s * W + r + 1) * B). Each `iter()` begins
    at the current step and ends at the next multiple of `val_every` or at `max_steps`, so that a pass over
    the loader is the time between two validations. It has no length: passes can differ.

    Args:
        current_step: number of the next step, asked at every `iter()`.
        batch_size: samples a batch, per rank.
        val_every: steps between validations.
        max_steps: length of the run in steps.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        current_step: Callable[[], int],
        batch_size: int,
        val_every: int,
        max_steps: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.current_step = current_step
        self.batch_size = batch_size
        self.val_every = val_every
        self.max_steps = max_steps
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        start = self.current_step()
        stop = min((start // self.val_every + 1) * self.val_every, self.max_steps)
        for step in range(start, stop):
            first = (step * self.world_size + self.rank) * self.batch_size
            yield list(range(first, first + self.batch_size))
