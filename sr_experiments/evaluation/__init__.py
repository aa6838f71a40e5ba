"""Measure super-resolution networks, and finished pictures, side by side by one protocol."""

from sr_experiments.evaluation.evaluate import Request, evaluate
from sr_experiments.evaluation.measure import measure
from sr_experiments.evaluation.results import Difference, Report, Result

__all__ = ["Difference", "Report", "Request", "Result", "evaluate", "measure"]
