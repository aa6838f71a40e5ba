"""Activation checkpointing: blocks store their input only, and recompute the rest in the backward pass.

It takes less memory and about a third more time.

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from sr_experiments.errors import SRError

BATCH_NORM = nn.modules.batchnorm._BatchNorm
CHAIN = 8  # layers of a chain that is worth dividing


def checkpoint_activations(network: nn.Module, compiled: bool = False) -> None:
    """Recompute parts of a network in the backward pass; outputs, gradients and batch statistics stay the same.

    The parts are the blocks of its stacks, or, in a network that is a chain of single layers, about as many segments as
    each of them has layers.

    Args:
        network: changed in place.
        compiled: whether it will be compiled.

    Raises:
        SRError: the network has neither, or is to be compiled with batch norm in its blocks.
    """
    stacks = [module for module in network.modules() if _is_stack(module)]
    blocks = [block for stack in stacks for block in stack.children() if not _is_stack(block)]
    # Of nested stacks only the outermost is recomputed: the inner ones would be recomputed twice.
    inner = {id(part) for block in blocks for part in block.modules() if part is not block}
    blocks = [block for block in blocks if id(block) not in inner]
    chains = [] if blocks else [module for module in network.modules() if _is_chain(module)]
    if not blocks and not chains:
        raise SRError("trainer.checkpoint_activations=true: this network has no stack of blocks; set it to false")
    if compiled and any(_batch_norms(block) for block in blocks):
        raise SRError(
            "trainer.checkpoint_activations=true: torch can't compile the recomputation of this network's batch norm; "
            "set it or trainer.compile to false"
        )
    for block in blocks:
        contexts = {"context_fn": partial(_contexts, block)} if _batch_norms(block) else {}
        block.forward = partial(  # type: ignore[method-assign]
            checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False, **contexts
        )
    for chain in chains:
        layers = list(chain.children())
        segments = round(math.sqrt(len(layers)))
        chain.forward = partial(  # type: ignore[method-assign]
            checkpoint_sequential, layers, segments, use_reentrant=False, preserve_rng_state=False
        )


def _is_stack(module: nn.Module) -> bool:
    """Return whether a module is a Sequential or ModuleList of modules of one class that have children."""
    parts = list(module.children())
    alike = len({type(part) for part in parts}) == 1
    return isinstance(module, nn.Sequential | nn.ModuleList) and alike and any(True for _ in parts[0].children())


def _is_chain(module: nn.Module) -> bool:
    """Return whether a module is a Sequential of many single layers without batch statistics."""
    parts = list(module.children())
    single = not any(isinstance(part, BATCH_NORM) or any(True for _ in part.children()) for part in parts)
    return isinstance(module, nn.Sequential) and len(parts) >= CHAIN and single


def _batch_norms(block: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [module for module in block.modules() if isinstance(module, BATCH_NORM)]


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the contexts of the forward pass and of the recomputation, which must not count the batch again."""
    return nullcontext(), _without_counting(block)


@contextmanager
def _without_counting(block: nn.Module) -> Iterator[None]:
    norms = _batch_norms(block)
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
