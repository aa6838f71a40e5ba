"""How torch's threads wait."""

import os


def let_waiting_threads_sleep() -> None:
    """Have OpenMP's threads sleep while they wait for others, unless the environment says otherwise.

    They would spin, for milliseconds after each operation: beside other programs, and beside OpenVINO and encoders in
    this one, that takes the processor from those that work, themselves too. It is read when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
