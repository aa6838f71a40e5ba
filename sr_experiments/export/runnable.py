"""The exported form of a network: a function of tensors, and inputs of several sizes to compare it on."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator, State

Run = Callable[..., Any]  # from the inputs of a Runnable to its output, a tensor, or its outputs

Size = tuple[int, int, int]  # (batch, height, width) of LR
SIZES: tuple[Size, ...] = ((1, 24, 32), (1, 17, 23), (1, 40, 21), (2, 16, 24))  # even, odd, portrait, a batch of two
EXAMPLE: Size = (2, 24, 32)  # the size that is traced; a batch of 1 would be taken for a constant


class Runnable(nn.Module):
    """A generator whose inputs and output are all tensors.

    A recurrent generator is exported as its step: `(lr, lr_previous, sr_previous)` to `sr`, or, if it hands on
    features, `(lr, lr_previous, features_previous)` to `(sr, features)`. In the next call, these are the previous ones;
    in the first call and after a scene cut the previous ones are zeros. The results are those of the generator, whose
    first frame has zeros for what is handed on. Without a flow net there is no `lr_previous`.

    Attributes:
        inputs: names of the inputs.
        outputs: names of the outputs.
        smallest_size: smallest height and width that a program of torch.export takes. It specialises sizes up to one
            block of a network that pads to multiples, so these must be excluded.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator.eval()
        self.inputs: tuple[str, ...] = ("lr",)
        self.outputs: tuple[str, ...] = ("sr",)
        if isinstance(generator, RecurrentGenerator) and generator.handed_on != "nothing":
            warped = ("lr_previous",) if generator.fnet is not None else ()
            self.inputs = ("lr", *warped, f"{generator.handed_on}_previous")
            self.outputs = tuple(dict.fromkeys(("sr", generator.handed_on)))
        self.scale = generator.scale
        self.channels = generator.channels
        more_than_a_block = generator.size_multiple + 1 if generator.size_multiple > 1 else 1
        self.smallest_size = max(2, more_than_a_block, generator.smallest_size)
        generator.prepare_for_export()

    def forward(self, lr: Tensor, *previous: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """LR (N, C, H, W) in [0, 1], and what `inputs` names of the previous frame, to what `outputs` names."""
        if not isinstance(self.generator, RecurrentGenerator):
            return self.generator(lr)
        if self.generator.handed_on == "nothing":
            return self.generator.first_frame(lr)[0]
        *lr_previous, memory = previous
        flow = self.generator.flow(lr, lr_previous[0] if lr_previous else lr)
        sr, memory = self.generator.next_frame(lr, memory, flow)
        return sr if self.outputs == ("sr",) else (sr, memory)

    def large_enough(self, size: Size) -> Size:
        """Return the size with `smallest_size` added to sides below it."""
        batch, *sides = size
        height, width = (side if side >= self.smallest_size else side + self.smallest_size for side in sides)
        return batch, height, width

    def sizes(self, all_sizes: bool) -> tuple[Size, ...]:
        """Return the sizes to compare on: of one block and more, or, without `all_sizes`, from `smallest_size` on."""
        large = tuple(self.large_enough(size) for size in SIZES)
        return tuple(dict.fromkeys((*SIZES, *large))) if all_sizes else large

    def example(self, size: Size | None = None, seed: int = 0) -> tuple[Tensor, ...]:
        """Make random inputs of one call, by default of the size that is traced."""
        batch, height, width = size or self.large_enough(EXAMPLE)
        random = torch.Generator().manual_seed(seed)
        lr = torch.rand(batch, self.channels, height, width, generator=random)
        shapes = self.previous_shapes(lr)
        return lr, *(torch.rand(shape, generator=random) for shape in shapes)

    def previous_shapes(self, lr: Tensor) -> list[tuple[int, ...]]:
        """Return the shapes of the inputs besides LR (N, C, H, W), in their order."""
        batch, channels, height, width = lr.shape
        shapes = {
            "lr_previous": (batch, channels, height, width),
            "sr_previous": (batch, channels, self.scale * height, self.scale * width),
            "features_previous": (batch, getattr(self.generator, "extra_channels", 0), height, width),
        }
        return [shapes[name] for name in self.inputs[1:]]

    def dynamic_shapes(self) -> dict[str, Any]:
        """Return the dimensions that may differ from call to call, for torch.export."""
        batch = torch.export.Dim("batch", min=1, max=2**14)
        height, width = (torch.export.Dim(name, min=self.smallest_size, max=2**14) for name in ("height", "width"))
        of_lr = {0: batch, 2: height, 3: width}
        of_sr = {0: batch, 2: self.scale * height, 3: self.scale * width}
        previous = tuple(of_sr if name == "sr_previous" else of_lr for name in self.inputs[1:])
        return {"lr": of_lr, **({"previous": previous} if previous else {})}


@torch.inference_mode()
def largest_difference(original: Runnable, exported: Run, sizes: Sequence[Size] = SIZES) -> float:
    """Return the largest absolute difference of the outputs, values in [0, 1], over several sizes.

    For a recurrent generator, clips of three frames are compared, in which each continues from its own output.
    """
    worst = 0.0
    for seed, size in enumerate(sizes):
        lr = original.example(size, seed)[0]
        generator = original.generator
        if not isinstance(generator, RecurrentGenerator):
            worst = max(worst, _difference(original(lr), exported(lr)))
            continue
        state: State | None = None
        previous = [lr.new_zeros(shape) for shape in original.previous_shapes(lr)]
        for shift in range(3):
            frame = lr.roll((shift, 2 * shift), (2, 3))
            expected, state = generator.step(frame, state)
            found = exported(frame, *previous)
            sr, memory = (found, found) if isinstance(found, Tensor) else found
            worst = max(worst, _difference(expected, sr))
            previous = [{"lr_previous": frame}.get(name, memory) for name in original.inputs[1:]]
    return worst


def _difference(expected: Tensor, found: Tensor) -> float:
    if expected.shape != found.shape:
        return float("inf")
    largest = (expected.float() - found.float()).abs().max().item()
    return float("inf") if math.isnan(largest) else largest
