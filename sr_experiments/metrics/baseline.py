"""What networks are measured beside: bicubic enlargement or, at scale 1, the input as it is.

Its name is the suffix of its metrics, `val/<set>/psnr_y_bicubic`, and its label in tables and pictures.
"""

BASELINES = ("bicubic", "input")


def baseline(scale: int) -> str:
    """Return the name of the baseline at a scale."""
    return "input" if scale == 1 else "bicubic"


def strip_tiles(scale: int) -> tuple[str, ...]:
    """Return what a strip of validation pictures shows, from left to right; at scale 1 LR is the baseline."""
    return (baseline(scale), "sr", "hr") if scale == 1 else ("lr", baseline(scale), "sr", "hr")
