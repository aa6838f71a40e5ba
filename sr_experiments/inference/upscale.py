"""`sr upscale`: what is to be done, and doing it."""

from pathlib import Path

from sr_experiments.inference.options import Options


def run(source: str, output: Path, checkpoint: Path, options: Options) -> int:
    """Upscale `source` to `output`; returns the exit code."""
    raise NotImplementedError
