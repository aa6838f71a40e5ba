"""What the summaries of runs say of their metrics: direction and decimals."""

from collections.abc import Mapping, Sequence
from typing import Any

Summaries = Sequence[Mapping[str, Any]]


def higher_is_better(metric: str, summaries: Summaries) -> bool:
    """Return whether a metric, `psnr_y` or `<set>/psnr_y`, grows as pictures get better.

    What no summary knows, such as losses, is better the lower it is, but for PSNR and SSIM of early versions' runs.
    """
    said = _said("higher_is_better", metric, summaries)
    return said if isinstance(said, bool) else "psnr" in metric or "ssim" in metric


def gain(value: float, other: float, higher: bool) -> float:
    """Return by how much `value` is better than `other`: positive is better, whatever the direction of the metric."""
    return value - other if higher else other - value


def digits(metric: str, summaries: Summaries) -> int:
    """Return the decimals of a metric, `psnr_y` or `<set>/psnr_y`; early versions' runs don't record them."""
    said = _said("digits", metric, summaries)
    if isinstance(said, int) and 0 <= said <= 9:  # a summary that says more is damaged
        return said
    return 2 if "psnr" in metric else 4


def _said(field: str, metric: str, summaries: Summaries) -> Any:
    """Return what the first summary that knows a metric says of it, or None."""
    name = metric.rsplit("/", 1)[-1]
    fields = (summary.get(field) for summary in summaries)
    return next((said[name] for said in fields if isinstance(said, dict) and name in said), None)
