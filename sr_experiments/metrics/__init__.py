"""Metrics with stated conventions. To add one: one file with its torchmetrics.Metric, registered there."""

from torchmetrics import Metric

from sr_experiments.registry import Registry

METRICS: Registry[Metric] = Registry("metric", "sr_experiments.metrics", {"crop_border": "scale"})
