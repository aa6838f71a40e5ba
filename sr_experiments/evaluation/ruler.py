"""The metrics of one measurement, the same for every column."""

import copy
import logging
from collections.abc import Callable

import numpy as np
import torch

from sr_experiments.checkpoints.backbones import WeightsUnavailable
from sr_experiments.data.degradations import Degradation
from sr_experiments.errors import SRError
from sr_experiments.evaluation.candidates import to_tensor
from sr_experiments.evaluation.colour_shift import colour_shift
from sr_experiments.metrics.fine_detail import FineDetail
from sr_experiments.metrics.image_metric import ImageMetric
from sr_experiments.metrics.lpips import LPIPS
from sr_experiments.metrics.psnr import PSNR
from sr_experiments.metrics.ssim import SSIM
from sr_experiments.metrics.temporal import TemporalMetric
from sr_experiments.metrics.tlp import TLP
from sr_experiments.metrics.tof import TOF
from sr_experiments.metrics.warping_error import WarpingError

log = logging.getLogger(__name__)

LPIPS_LEAST = 31  # pixels a side that AlexNet's layers need

Values = dict[str, float]


class Ruler:
    """Makes the metrics there can be, and says which it had to leave out.

    Args:
        crop: pixels cut from each side.
        degradation: of LR, to make SR small again for the colour shift.
        clips: whether frames are compared with the ones before, too.
        channels: 3, or 1 of grey images, which have neither RGB metrics nor a colour shift.
        device: on which metrics are computed.

    Attributes:
        conventions: what each metric measures.
        higher_is_better: by metric.
        colour: whether there is a colour shift.
        left_out: metrics, or metrics of one scene, with the reason.
    """

    def __init__(self, crop: int, degradation: Degradation, clips: bool, channels: int, device: torch.device) -> None:
        self.crop = crop
        self.degradation = degradation
        self.device = device
        self.left_out: dict[str, str] = {}
        self.image: dict[str, ImageMetric] = {}
        self.temporal: dict[str, TemporalMetric] = {}
        wanted: dict[str, Callable[[], ImageMetric]] = {
            "psnr_y": lambda: PSNR("y", crop),
            "psnr_rgb": lambda: PSNR("rgb", crop),
            "ssim_y": lambda: SSIM("y", crop),
            "ssim_rgb": lambda: SSIM("rgb", crop),
            "lpips_alex": lambda: LPIPS("alex", crop),
            "fine_detail": lambda: FineDetail(degradation.scale, crop),
        }
        of_clips: dict[str, Callable[[], TemporalMetric]] = {
            "tof": lambda: TOF(crop),
            "tlp_alex": lambda: TLP("alex", crop),
            "warping_error": lambda: WarpingError(crop),
        }
        self.colour = channels == 3
        for key, make in wanted.items():
            if channels == 1 and key.endswith("_rgb"):
                self.left_out[key] = "the networks are of grey images"
            else:
                self._add(self.image, key, make)
        for key, make_temporal in of_clips.items() if clips else ():
            self._add(self.temporal, key, make_temporal)
        metrics = {**self.image, **self.temporal}
        self.conventions: dict[str, str] = {key: str(metric.convention) for key, metric in metrics.items()}
        self.higher_is_better = {key: bool(metric.higher_is_better) for key, metric in metrics.items()}
        if self.colour:
            how = type(degradation).__name__
            self.conventions["colour_shift"] = (
                f"mean CIEDE2000 between LR and SR made small again ({how}), whole 8-bit images"
            )
            self.higher_is_better["colour_shift"] = False
        else:
            self.left_out["colour_shift"] = "the networks are of grey images"

    def _add(self, metrics: dict, key: str, make: Callable) -> None:
        try:
            metrics[key] = make().to(self.device)
        except WeightsUnavailable as error:
            self.left_out[key] = str(error)

    def begin(self, scene: str) -> "Reading":
        """Start with an image or a clip."""
        return Reading(self, scene)


class Reading:
    """The values of one column for one scene: the mean over its frames, or over pairs of them."""

    def __init__(self, ruler: Ruler, scene: str) -> None:
        self.ruler = ruler
        self.scene = scene
        self.sums: Values = {}
        self.frames = 0
        self.temporal = {key: copy.copy(metric) for key, metric in ruler.temporal.items()}
        for metric in self.temporal.values():
            metric.reset()

    @torch.no_grad()
    def frame(self, sr: np.ndarray, hr: np.ndarray, lr: np.ndarray) -> None:
        """Take the next frame in, all uint8 (H, W, C).

        Raises:
            SRError: nothing is left within the border.
        """
        self.frames += 1
        ruler = self.ruler
        if min(hr.shape[:2]) <= 2 * ruler.crop:
            size = f"{hr.shape[1]}x{hr.shape[0]}"
            raise SRError(f"{self.scene} is {size}, too small to cut {ruler.crop} pixels a side: give a smaller --crop")
        sr_image, hr_image = (to_tensor(x).to(ruler.device) for x in (sr, hr))
        for key, metric in ruler.image.items():
            least = LPIPS_LEAST + 2 * metric.crop_border if isinstance(metric, LPIPS) else 1
            if min(hr.shape[:2]) < least:
                self._leave_out(key, f"LPIPS needs {least}x{least} pixels, it has {hr.shape[1]}x{hr.shape[0]}")
                continue
            try:
                self._add(key, float(metric.per_image(sr_image, hr_image)))
            except SRError as error:
                self._leave_out(key, str(error))
        for key in list(self.temporal):
            try:
                self.temporal[key].update(sr_image, hr_image)
            except SRError as error:
                self._leave_out(key, str(error))
                del self.temporal[key]
        if ruler.colour:
            self._add("colour_shift", colour_shift(sr, lr, ruler.degradation))

    def values(self) -> Values:
        """By metric."""
        values = {key: total / self.frames for key, total in self.sums.items()}
        for key, metric in self.temporal.items():
            try:
                values[key] = float(metric.compute())
            except SRError as error:
                self._leave_out(key, str(error))
        return values

    def _add(self, key: str, value: float) -> None:
        self.sums[key] = self.sums.get(key, 0.0) + value

    def _leave_out(self, key: str, why: str) -> None:
        self.ruler.left_out[f"{key} of {self.scene}"] = why
