"""Offline mode, `offline=true` or `SR_OFFLINE=1` in the environment: nothing connects to the network."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

VARIABLE = "SR_OFFLINE"  # an environment variable, so that child processes are offline too


def is_offline() -> bool:
    """Return whether connections to the network are forbidden."""
    return os.environ.get(VARIABLE) == "1"


def offline(wanted: bool) -> AbstractContextManager[None]:
    """Forbid connections inside the block if `wanted`; otherwise the environment decides."""
    return environment_variable(VARIABLE, "1") if wanted else nullcontext()


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable inside the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
