"""`offline=true`, or `SR_OFFLINE=1` in the environment: nothing connects to the network."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "SR_OFFLINE"  # in the environment, so that the processes of a run know it, too


def is_offline() -> bool:
    """Whether no connection may be made."""
    return os.environ.get(VARIABLE) == "1"


@contextmanager
def offline(wanted: bool) -> Iterator[None]:
    """No connection in here, if `wanted`; without it, as the environment says."""
    before = os.environ.get(VARIABLE)
    if wanted:
        os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if wanted and before is None:
            del os.environ[VARIABLE]
        elif wanted and before is not None:
            os.environ[VARIABLE] = before
