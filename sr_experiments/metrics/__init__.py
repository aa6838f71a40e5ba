"""Metrics with stated conventions. To add one: one file with its SRMetric, registered there."""

from typing import TYPE_CHECKING

from sr_experiments.registry import Registry

if TYPE_CHECKING:
    from sr_experiments.metrics.metric import SRMetric

METRICS: "Registry[SRMetric]" = Registry(
    "metric", "sr_experiments.metrics", {"crop_border": "scale", "bits": "data.bits"}
)
