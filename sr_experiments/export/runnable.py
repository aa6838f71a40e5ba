"""What is exported: a network as a function of tensors, and inputs of several sizes to compare it on."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.generators.frvsr import FRAME_MULTIPLE

Run = Callable[..., Tensor]  # the inputs of a Runnable to SR

# (batch, height, width) of LR: small, odd, of another shape, and two at once.
SIZES = ((1, 24, 32), (1, 17, 23), (1, 40, 21), (2, 16, 24))
EXAMPLE = (2, 24, 32)  # what tracing sees; a batch of 1 would be taken for a constant


class Runnable(nn.Module):
    """A generator whose inputs and output are all tensors.

    A recurrent generator is exported as its step: `(lr, lr_previous, sr_previous)` to `sr`. For the next frame, `lr`
    and `sr` are given back as the previous ones; at the start and after a cut both are zeros. That is exact: a
    frame of zeros, warped by whatever flow, is what the network is given before its first frame.

    Attributes:
        inputs: their names.
        scale: upsampling factor.
        channels: of an image.
        least: smallest height and width that a program of torch.export takes; networks that work in blocks of LR
            pixels and pad to them need more than one block.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator.eval()
        self.recurrent = hasattr(generator, "step")
        self.inputs = ("lr", "lr_previous", "sr_previous") if self.recurrent else ("lr",)
        self.scale = int(generator.scale)  # type: ignore[arg-type]
        self.channels = int(generator.channels)  # type: ignore[arg-type]
        self.least = max(2, _least(generator))
        _merge_once(generator)

    def forward(self, lr: Tensor, lr_previous: Tensor | None = None, sr_previous: Tensor | None = None) -> Tensor:
        """LR (N, C, H, W) in [0, 1], and the previous frames, to SR (N, C, scale * H, scale * W)."""
        if not self.recurrent:
            return self.generator(lr)
        assert lr_previous is not None and sr_previous is not None
        flow = self.generator.flow(lr, lr_previous)  # type: ignore[operator]
        return self.generator.next_from(lr, sr_previous, flow)  # type: ignore[operator]

    def example(self, size: tuple[int, int, int] = EXAMPLE, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of one call."""
        batch, height, width = size
        random = torch.Generator().manual_seed(seed)
        lr = torch.rand(batch, self.channels, height, width, generator=random)
        if not self.recurrent:
            return (lr,)
        sr = torch.rand(batch, self.channels, self.scale * height, self.scale * width, generator=random)
        return lr, torch.rand(lr.shape, generator=random), sr

    def dynamic_shapes(self) -> dict[str, dict[int, Any]]:
        """Which sizes may differ from call to call, for torch.export."""
        batch = torch.export.Dim("batch", min=1, max=2**14)
        height, width = (torch.export.Dim(name, min=self.least, max=2**14) for name in ("height", "width"))
        shapes: dict[str, dict[int, Any]] = {name: {0: batch, 2: height, 3: width} for name in self.inputs}
        if self.recurrent:
            shapes["sr_previous"] = {0: batch, 2: self.scale * height, 3: self.scale * width}
        return shapes


def _least(generator: nn.Module) -> int:
    if hasattr(generator, "step"):
        return FRAME_MULTIPLE + 1
    needs = getattr(generator, "_needs", None)  # of what spandrel knows
    block = needs.multiple_of if needs else int(getattr(generator, "fold", 1))
    return max(block + 1 if block > 1 else 1, needs.minimum if needs else 1)


def _merge_once(generator: nn.Module) -> None:
    """SPAN and its kin merge parallel convolutions anew at every call, which no exporter can follow: merge them now."""
    for module in generator.modules():
        if hasattr(module, "update_params") and hasattr(module, "eval_conv"):
            module.update_params()  # type: ignore[operator]
            module.update_params = lambda: None  # type: ignore[assignment]


@torch.inference_mode()
def largest_difference(original: Runnable, exported: Run, sizes: Sequence[tuple[int, int, int]] = SIZES) -> float:
    """The largest absolute difference of the outputs, values in [0, 1], over several sizes.

    Of a recurrent generator, clips of three frames are compared with the generator's own steps, each going on
    from its own output.
    """
    worst = 0.0
    for seed, size in enumerate(sizes):
        lr = original.example(size, seed)[0]
        if not original.recurrent:
            worst = max(worst, _difference(original(lr), exported(lr)))
            continue
        state = None
        before = torch.zeros_like(lr)
        sr = lr.new_zeros(*lr.shape[:2], original.scale * lr.shape[2], original.scale * lr.shape[3])
        for shift in range(3):
            frame = lr.roll((shift, 2 * shift), (2, 3))
            expected, state = original.generator.step(frame, state)  # type: ignore[operator]
            sr = exported(frame, before, sr)
            worst, before = max(worst, _difference(expected, sr)), frame
    return worst


def _difference(expected: Tensor, found: Tensor) -> float:
    if expected.shape != found.shape:
        return float("inf")
    worst = (expected.float() - found.float()).abs().max().item()
    return worst if worst == worst else float("inf")
