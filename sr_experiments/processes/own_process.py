"""Programs in a process of their own: native code that ends its process at what it can't do."""

import signal
import subprocess
from collections.abc import Sequence


def run_apart(command: Sequence[str], folder: str, program: str, patience: float | None = None) -> None:
    """Run a program in a folder and wait for its end.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        program: its name in messages.
        patience: seconds after which it is ended; None to wait for as long as it takes.

    Raises:
        RuntimeError: it failed, crashed, or doesn't end.
    """
    try:
        subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=patience)
    except subprocess.CalledProcessError as error:
        how = signal.Signals(-error.returncode).name if error.returncode < 0 else f"code {error.returncode}"
        raise RuntimeError(f"{program} can't do this network: it ended with {how}") from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{program} had not done it after {patience:.0f} seconds") from error
