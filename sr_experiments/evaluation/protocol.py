"""What is measured and how, the same for every column of the table."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sr_experiments.data.degradations import Degradation
from sr_experiments.data.degradations.bicubic import Bicubic
from sr_experiments.data.degradations.pipeline import Pipeline
from sr_experiments.errors import SRError
from sr_experiments.evaluation.candidates import to_tensor
from sr_experiments.evaluation.colour_shift import ColourShift
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.metrics.suite import MetricSuite

COLOUR_SHIFT = "colour_shift"


class Protocol:
    """The metrics of one measurement, see `MetricSuite`.

    Args:
        config: of the metrics.
        crop: pixels cut from each side.
        degradation: of LR, for the colour shift; its depth is that of the metrics.
        clips: whether the scenes are clips.
        channels: 3, 1 where all networks are of grey images, or the number of bands.
        device: on which metrics are computed.
    """

    def __init__(
        self,
        config: Mapping[str, Mapping[str, Any]],
        crop: int,
        degradation: Degradation,
        clips: bool,
        channels: int,
        device: torch.device,
    ) -> None:
        self.crop = crop
        self.degradation = degradation
        self.device = device
        suite = MetricSuite(config, crop, clips, channels, degradation.bits)
        self.metrics: dict[str, SRMetric] = {key: metric.to(device) for key, metric in suite.items()}
        self.left_out = suite.left_out  # metrics, or metrics of one scene, that are not measured, with the reason
        if degradation.scale == 1:
            pass  # LR has other colours than HR: that is what is to be mended
        elif channels == 3:  # made small again without further noise
            smaller = Bicubic(degradation.scale) if isinstance(degradation, Pipeline) else degradation
            smaller.bits = degradation.bits
            self.metrics[COLOUR_SHIFT] = ColourShift(smaller)
        elif channels == 1:
            self.left_out[COLOUR_SHIFT] = "it needs RGB, and the images are grey"


class SceneMeasurement:
    """The values of one candidate on one scene: the mean over its frames, or over pairs of them."""

    def __init__(self, protocol: Protocol, scene: str) -> None:
        self.protocol = protocol
        self.scene = scene
        # Shallow copies share the networks within; `reset` gives each its own sums.
        self.metrics = {key: copy.copy(metric) for key, metric in protocol.metrics.items()}
        for metric in self.metrics.values():
            metric.reset()

    def add(self, sr: np.ndarray, hr: np.ndarray, lr: np.ndarray) -> None:
        """Measure the next frame, all (H, W, C) of one depth; leave out a metric that it is too small for.

        Raises:
            SRError: nothing is left within the border.
        """
        (height, width), crop = hr.shape[:2], self.protocol.crop
        if min(height, width) <= 2 * crop:
            raise SRError(
                f"{self.scene} is {width}x{height}, too small to cut {crop} pixels a side: give a smaller --crop"
            )
        sr_image, hr_image = (to_tensor(image).to(self.protocol.device) for image in (sr, hr))
        for key, metric in list(self.metrics.items()):
            try:
                if isinstance(metric, ColourShift):
                    metric.update(sr, lr)
                else:
                    metric.update(sr_image, hr_image)
            except SRError as error:
                self._leave_out(key, error)

    def values(self) -> dict[str, float]:
        """Compute the values, by metric; a clip that is too short has none of a temporal metric."""
        values = {}
        for key, metric in list(self.metrics.items()):
            try:
                values[key] = float(metric.compute())
            except SRError as error:
                self._leave_out(key, error)
        return values

    def _leave_out(self, key: str, error: SRError) -> None:
        del self.metrics[key]
        self.protocol.left_out[f"{key} of {self.scene}"] = str(error)
