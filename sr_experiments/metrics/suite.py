"""The metrics of a configuration, the same for training, `sr evaluate` and sweeps."""

from collections.abc import Iterator, Mapping
from typing import Any

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
        channels: 3, or 1 where the data is grey.

    Raises:
        SRError: an entry of the configuration is no mapping.
    """

    def __init__(self, config: Mapping[str, Mapping[str, Any]], crop_border: int, clips: bool, channels: int) -> None:
        self.crop_border = crop_border
        self.channels = channels
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
        try:
            metric = build(f"metric {key}", METRICS, arguments, crop_border=self.crop_border)
        except WeightsUnavailable as error:
            if config.get("required", False):
                raise SRError(f"metric {key} is required: {error}") from error
            self.left_out[key] = str(error)
            return None
        if metric.needs_rgb and self.channels == 1:
            self.left_out[key] = "it needs RGB, and the images are grey"
            return None
        return metric


def usual_crop(scale: int) -> int:
    """Return how many pixels papers cut from each side: as many as the scale, and none where nothing is enlarged."""
    return 0 if scale == 1 else scale


def descriptions(metrics: Mapping[str, SRMetric]) -> dict[str, dict[str, Any]]:
    """Return what summary.json and reports say of metrics, by field and key."""
    fields = {"conventions": "convention", "higher_is_better": "higher_is_better", "digits": "digits", "units": "unit"}
    return {name: {key: getattr(metric, of) for key, metric in metrics.items()} for name, of in fields.items()}
