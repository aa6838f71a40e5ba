"""Metrics with stated conventions. To add one: one file with its SRMetric, and its name here."""

from sr_experiments.metrics.fine_detail import FineDetail
from sr_experiments.metrics.lpips import LPIPS
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.metrics.ssim import SSIM
from sr_experiments.metrics.tlp import TLP
from sr_experiments.metrics.tof import TOF
from sr_experiments.metrics.warping_error import WarpingError

METRICS: dict[str, type[SRMetric]] = {
    "psnr": PSNR,
    "ssim": SSIM,
    "lpips": LPIPS,
    "fine_detail": FineDetail,
    "tof": TOF,
    "tlp": TLP,
    "warping_error": WarpingError,
}
