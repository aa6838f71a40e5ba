"""Metrics with stated conventions. To add one: one file with its torchmetrics.Metric, and its name here."""

from collections.abc import Callable

from torchmetrics import Metric

from sr_experiments.metrics.lpips import LPIPS
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.metrics.ssim import SSIM

METRICS: dict[str, Callable[..., Metric]] = {"psnr": PSNR, "ssim": SSIM, "lpips": LPIPS}
