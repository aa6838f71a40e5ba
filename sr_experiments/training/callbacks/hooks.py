"""The module that Lightning passes to the hooks of a callback, with our type."""

from typing import cast

import pytorch_lightning as pl

from sr_experiments.training.module import SRModule


def sr_module(pl_module: pl.LightningModule) -> SRModule:
    """Return the module as the SRModule that it is in every run.

    A hook can't declare it: overriding a method with a narrower argument type is a type error.
    """
    return cast(SRModule, pl_module)
