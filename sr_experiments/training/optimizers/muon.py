"""Muon (Jordan et al. 2024): orthogonalised updates for matrices, AdamW for all other parameters."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import nn

from sr_experiments.config.constraints import Weight
from sr_experiments.training.optimizers import (
    OPTIMIZERS,
    Beta,
    Betas,
    decay_groups,
    fused,
    is_matrix,
    trainable,
)


class KernelMuon(torch.optim.Muon):
    """PyTorch's Muon, which only accepts matrices, for the kernels of convolutions.

    A kernel (O, I, h, w) is updated as the matrix (O, I * h * w), which maps the input patch of a position to its
    output. The matrices are copies, so that they and their states do not depend on the memory layout of the kernels.

    Args:
        kernels: parameters with at least two dimensions.
        **options: options of `torch.optim.Muon`.
    """

    def __init__(self, kernels: Sequence[nn.Parameter], **options: Any) -> None:
        self.kernels = list(kernels)
        self.matrices = [nn.Parameter(kernel.detach().flatten(1).clone()) for kernel in kernels]
        super().__init__(self.matrices, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update the kernels that have gradients."""
        for kernel, matrix in zip(self.kernels, self.matrices, strict=True):
            matrix.copy_(kernel.flatten(1))
            matrix.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        loss = super().step(closure)
        for kernel, matrix in zip(self.kernels, self.matrices, strict=True):
            kernel.copy_(matrix.view_as(kernel))
            matrix.grad = None
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of the kernels."""
        for kernel in self.kernels:
            if set_to_none:
                kernel.grad = None
            elif kernel.grad is not None:
                kernel.grad.zero_()


@OPTIMIZERS.register("muon")
def muon(
    network: nn.Module,
    learning_rate: float,
    momentum: Beta = 0.95,
    iterations: Annotated[int, Ge(1), Le(99)] = 5,
    betas: Betas = (0.9, 0.99),
    weight_decay: Weight = 0.0,
) -> list[torch.optim.Optimizer]:
    """PyTorch's Muon for convolutions and linear layers, AdamW for everything else.

    Updates are scaled to the magnitude of AdamW's (Liu et al. 2025, arXiv 2502.16982), so that both use the same
    learning rate. AdamW also trains depthwise convolutions, which mix no channels, and the classifiers of
    discriminators. Those see each image only once, so their gradients have a low rank, and Muon's updates of them would
    consist mostly of bf16 rounding errors.

    Args:
        network: network to train.
        learning_rate: learning rate of the first update.
        momentum: decay rate of the running average of the gradients of matrices.
        iterations: number of Newton-Schulz iterations towards an orthogonal matrix.
        betas: for AdamW: decay rates of the running averages of the gradient and its square.
        weight_decay: each update shrinks a weight by this fraction, times the learning rate; not biases and norms.
    """
    mixing = [module for name, module in network.named_modules() if _mixes(name, module)]
    weights = {id(p) for module in mixing for p in module.parameters(recurse=False) if is_matrix(p)}
    kernels: list[nn.Parameter] = [p for p in trainable(network) if id(p) in weights]
    others = [p for p in trainable(network) if id(p) not in weights]
    made: list[torch.optim.Optimizer] = []
    if kernels:
        options = {"momentum": momentum, "ns_steps": iterations, "adjust_lr_fn": "match_rms_adamw"}
        made.append(KernelMuon(kernels, lr=learning_rate, weight_decay=weight_decay, **options))
    if others:
        groups = decay_groups(others, weight_decay)
        made.append(torch.optim.AdamW(groups, learning_rate, betas, fused=fused(others)))  # type: ignore[arg-type]
    return made


def _mixes(name: str, module: nn.Module) -> bool:
    """Return whether Muon trains a module."""
    kind = isinstance(module, nn.Conv2d | nn.Linear) and getattr(module, "groups", 1) == 1
    return kind and "classifier" not in name.split(".")
