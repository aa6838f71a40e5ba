"""The metrics of a configuration, the same for training, `sr evaluate` and sweeps."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from sr_experiments.data.depth import Bits
from sr_experiments.errors import SRError
from sr_experiments.metrics import METRICS
from sr_experiments.metrics.metric import SRMetric
from sr_experiments.pretrained.fetch import WeightsUnavailable
from sr_experiments.registry import build


class MetricSuite(Mapping[str, SRMetric]):
    """Metrics by key, without those that can't be measured here; each is built when it is first asked for.

    Not measured are metrics whose pretrained weights can't be had, of RGB where the data is grey, and of consecutive
    frames where the data is images.

    Args:
        config: by key the `name` of the metric in METRICS, its arguments and, if it must not be left out,
            `required: true`; as files of conf/metrics have it.
        crop_border: pixels cut from each side.
        clips: whether the data is clips rather than images.
        channels: 3, 1 where the data is grey, or the number of bands.
        bits: depth of the data, of the metrics that take it.

    Raises:
        SRError: an entry of the configuration is no mapping.
    """

    def __init__(
        self, config: Mapping[str, Mapping[str, Any]], crop_border: int, clips: bool, channels: int, bits: Bits = 8
    ) -> None:
        self.crop_border = crop_border
        self.channels = channels
        self.bits = bits
        # What was asked for and can't be measured, with the reason; nobody expects metrics of clips from images.
        self.left_out: dict[str, str] = {}
        self._built: dict[str, SRMetric | None] = {}  # None: left out
        for key, arguments in config.items():
            if not isinstance(arguments, Mapping):
                raise SRError(f"metrics.{key} is {arguments!r}: give its name and its arguments")
        kinds = {key: METRICS.get(str(arguments.get("name"))) for key, arguments in config.items()}
        self._config = {key: config[key] for key in config if clips or not getattr(kinds[key], "temporal", False)}

    def __getitem__(self, key: str) -> SRMetric:
        """Build a metric, or return it if it is built.

        Raises:
            KeyError: it is not measured; `left_out` says why.
            SRError: it is required and can't be had, or its configuration is wrong.
        """
        if key not in self._built:
            self._built[key] = self._build(key, self._config[key])
        metric = self._built[key]
        if metric is None:
            raise KeyError(key)
        return metric

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._config if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _build(self, key: str, config: Mapping[str, Any]) -> SRMetric | None:
        arguments = {name: value for name, value in config.items() if name != "required"}
        kind = METRICS.get(str(config.get("name")))
        given: dict[str, Any] = {"crop_border": self.crop_border}
        if kind is not None and "bits" in inspect.signature(kind).parameters:
            given["bits"] = self.bits
        elif kind is not None and self._has_bands() and not getattr(kind, "any_channels", False):
            self._leave_out_of_bands(key)  # before weights are looked for
            return None
        try:
            metric = build(f"metric {key}", METRICS, arguments, **given)
        except WeightsUnavailable as error:
            if config.get("required", False):
                raise SRError(f"metric {key} is required: {error}") from error
            self.left_out[key] = str(error)
            return None
        if metric.needs_rgb and self.channels == 1:
            self.left_out[key] = "it needs RGB, and the images are grey"
            return None
        if self._has_bands() and not metric.any_channels:
            self._leave_out_of_bands(key)
            return None
        return metric

    def _has_bands(self) -> bool:
        return self.channels not in (1, 3)

    def _leave_out_of_bands(self, key: str) -> None:
        self.left_out[key] = f"it needs grey or RGB, and the images have {self.channels} bands"


def usual_crop(scale: int) -> int:
    """Return how many pixels papers cut from each side: as many as the scale, and none where nothing is enlarged."""
    return 0 if scale == 1 else scale


def descriptions(metrics: Mapping[str, SRMetric]) -> dict[str, dict[str, Any]]:
    """Return what summary.json and reports say of metrics, by field and key."""
    fields = {"conventions": "convention", "higher_is_better": "higher_is_better", "digits": "digits", "units": "unit"}
    return {name: {key: getattr(metric, of) for key, metric in metrics.items()} for name, of in fields.items()}
