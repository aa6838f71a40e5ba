"""`python train.py -m` in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TINY_RUN, Outcome

TINY = ["model.features=8", "model.blocks=1", *TINY_RUN]


@pytest.fixture
def sweep(train_py: Callable[..., Outcome], tmp_path: Path) -> Callable[..., Outcome]:
    """`sweep("model=srresnet,msrresnet", ...)` runs tiny jobs in `tmp_path / "sweep"`."""

    def run(*arguments: str) -> Outcome:
        return train_py("-m", *TINY, f"hydra.sweep.dir={tmp_path / 'sweep'}", *arguments)

    return run
